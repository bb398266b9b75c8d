//! Rates from counters, and sums of them.

use base::doc::usage::{History, Sample};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What was used until one moment since the one before.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rate {
    /// Of all cores together, 0 to 100.
    pub cpu_percent: f64,
    pub memory_mib: f64,
    /// Bytes per second.
    pub disk_read: f64,
    pub disk_written: f64,
    pub net_in: f64,
    pub net_out: f64,
}

/// By seconds of Unix time. `None`: it is known that nothing is known, because the counters started anew.
#[derive(Debug, Default)]
pub struct Rates(Vec<(u64, Option<Rate>)>);

#[expect(clippy::cast_precision_loss, reason = "shown on a screen")]
fn float(n: u64) -> f64 {
    n as f64
}

fn rate(a: &Sample, b: &Sample, cores: u64) -> Option<Rate> {
    let seconds = float(b.at.checked_sub(a.at).filter(|s| *s > 0)?);
    let per = |a: u64, b: u64| b.checked_sub(a).map(|n| float(n) / seconds);
    let cpu = per(a.cpu_ns, b.cpu_ns)? / 1e9 / float(cores.max(1)) * 100.0;
    Some(Rate {
        // The kernel counts in ticks, which may be told a little late.
        cpu_percent: cpu.min(100.0),
        memory_mib: float(b.memory_mib),
        disk_read: per(a.disk_read, b.disk_read)?,
        disk_written: per(a.disk_written, b.disk_written)?,
        net_in: per(a.net_in, b.net_in)?,
        net_out: per(a.net_out, b.net_out)?,
    })
}

impl Rates {
    /// The first sample gives no rate: it is where the next begins.
    pub fn of(history: &History, cores: u64) -> Rates {
        let pairs = history.samples.windows(2);
        Rates(pairs.filter_map(|p| Some((p.get(1)?.at, rate(p.first()?, p.get(1)?, cores)))).collect())
    }

    /// `{"at": […], "cpu_percent": […], …}`: columns of equal length, with null where nothing is known.
    pub fn view(&self) -> Value {
        let column = |of: fn(&Rate) -> f64, digits: i32| -> Vec<Value> {
            let fine = 10_f64.powi(digits);
            self.0
                .iter()
                .map(|(_, r)| r.map_or(Value::Null, |r| json!((of(&r) * fine).round() / fine)))
                .collect()
        };
        json!({
            "at": self.0.iter().map(|(at, _)| *at).collect::<Vec<_>>(),
            "cpu_percent": column(|r| r.cpu_percent, 2), "memory_used_mib": column(|r| r.memory_mib, 0),
            "disk_read_bytes_s": column(|r| r.disk_read, 0), "disk_write_bytes_s": column(|r| r.disk_written, 0),
            "net_in_bytes_s": column(|r| r.net_in, 0), "net_out_bytes_s": column(|r| r.net_out, 0),
        })
    }
}

/// What many used together, in stretches of `step` seconds: of each its mean in the stretch, so that how often one
/// told something makes no difference. Work of processors is weighed by their number.
pub fn sum(all: impl Iterator<Item = (u64, Rates)>, step: u64) -> Rates {
    let step = step.max(1);
    let mut stretches: BTreeMap<u64, (f64, Rate)> = BTreeMap::new();
    for (cores, rates) in all {
        let mut own: BTreeMap<u64, (f64, Rate)> = BTreeMap::new();
        for (at, rate) in rates.0 {
            let Some(rate) = rate else { continue };
            let (n, total) = own.entry(at.div_ceil(step) * step).or_default();
            *n += 1.0;
            *total = plus(*total, rate, 1.0, 1.0);
        }
        for (at, (n, total)) in own {
            let (weight, together) = stretches.entry(at).or_default();
            *weight += float(cores);
            *together = plus(*together, total, 1.0 / n, float(cores) / n);
        }
    }
    let mean = |(cores, r): (f64, Rate)| Rate { cpu_percent: r.cpu_percent / f64::max(cores, 1.0), ..r };
    Rates(stretches.into_iter().map(|(at, all)| (at, Some(mean(all)))).collect())
}

fn plus(a: Rate, b: Rate, by: f64, cpu_by: f64) -> Rate {
    Rate {
        cpu_percent: a.cpu_percent + b.cpu_percent * cpu_by,
        memory_mib: a.memory_mib + b.memory_mib * by,
        disk_read: a.disk_read + b.disk_read * by,
        disk_written: a.disk_written + b.disk_written * by,
        net_in: a.net_in + b.net_in * by,
        net_out: a.net_out + b.net_out * by,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: u64, cpu_s: u64, bytes: u64) -> Sample {
        Sample {
            at,
            cpu_ns: cpu_s * 1_000_000_000,
            memory_mib: 64,
            disk_read: bytes,
            net_out: 2 * bytes,
            ..Sample::default()
        }
    }

    fn rates(samples: Vec<Sample>, cores: u64) -> Rates {
        Rates::of(&History { samples }, cores)
    }

    #[test]
    fn counters_become_rates_and_a_new_start_a_gap() {
        let r = rates(vec![sample(0, 0, 0), sample(10, 5, 100), sample(20, 25, 50), sample(30, 30, 60)], 2);
        let v = r.view();
        assert_eq!(v["at"], json!([10, 20, 30]));
        assert_eq!(v["cpu_percent"], json!([25.0, null, 25.0]));
        assert_eq!(v["disk_read_bytes_s"], json!([10.0, null, 1.0]));
        assert_eq!(v["net_out_bytes_s"], json!([20.0, null, 2.0]));
        assert_eq!(v["memory_used_mib"], json!([64.0, null, 64.0]));
        assert!(rates(vec![sample(5, 1, 1)], 1).0.is_empty());
        let same_moment = rates(vec![sample(5, 1, 1), sample(5, 2, 2)], 1);
        assert_eq!(same_moment.0, [(5, None)]);
    }

    #[test]
    fn hosts_are_added_up_by_their_cores() {
        // One core at 100 %, three idle; told twice in a stretch by the one, once by the other.
        let busy = rates(vec![sample(0, 0, 0), sample(30, 30, 300), sample(60, 60, 600)], 1);
        let idle = rates(vec![sample(0, 0, 0), sample(60, 0, 60)], 3);
        let both = sum([(1, busy), (3, idle)].into_iter(), 60);
        let v = both.view();
        assert_eq!((&v["at"], &v["cpu_percent"]), (&json!([60]), &json!([25.0])));
        assert_eq!((&v["memory_used_mib"], &v["disk_read_bytes_s"]), (&json!([128.0]), &json!([11.0])));
    }
}
