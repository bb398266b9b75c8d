//! Bandwidth limits: what leaves a device in classes of `htb`, as lines for `tc`.
//!
//! What goes to a guest is limited where it leaves for its tap. What comes from one is handed to an
//! `ifb` device after the filter at the tap has let it in (nft's `fwd`), and limited where it leaves
//! that: a limit in between would come before the filter, and frames that it lets through would pass
//! no filter any more. Frames wait in a short queue, so senders slow down and little is lost.

use super::kernel::{Line, act, remove};
use base::doc::Limit;
use std::collections::BTreeMap;

/// The class that takes what no other does; without it, that is not limited.
pub const ALL: u16 = 1;
/// Stands for the device's `htb` itself.
const ROOT: u16 = 0;

/// What one class may send.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rate {
    /// 1000 bits per second; 0 in what was found, where it is not known.
    pub kbps: u64,
    /// Bytes that may pass at once.
    pub burst: u64,
}

/// Classes by device and number.
pub type Shapes = BTreeMap<(String, u16), Rate>;

impl From<Limit> for Rate {
    fn from(limit: Limit) -> Rate {
        /// A tenth of a second's worth, and never less than a few frames.
        const LEAST: u64 = 16 << 10;
        let per_second = limit.kbps.saturating_mul(125);
        let burst = if limit.burst_kb == 0 { per_second / 10 } else { limit.burst_kb.saturating_mul(125) };
        Rate { kbps: limit.kbps.max(1), burst: burst.clamp(LEAST, u64::from(u32::MAX)) }
    }
}

/// Adds a class, and with a device's first one its `htb`.
pub fn insert(shapes: &mut Shapes, device: &str, class: u16, rate: Rate) {
    shapes.insert((device.to_owned(), ROOT), Rate::default());
    shapes.insert((device.to_owned(), class), rate);
}

/// The lines that come from one state to another. Classes of a device that goes, go with it: `stays`
/// says of a device that it was there and will be.
pub fn changes(have: &Shapes, want: &Shapes, stays: impl Fn(&str) -> bool) -> Vec<Line> {
    let mut lines = Vec::new();
    for (key @ (device, class), _) in have.iter().filter(|((d, _), _)| stays(d)) {
        let with_its_root = *class != ROOT && !want.contains_key(&(device.clone(), ROOT));
        if want.contains_key(key) || with_its_root {
            continue;
        }
        lines.push(match *class {
            ROOT => remove(format!("qdisc del dev {device} root")),
            class => remove(format!("class del dev {device} classid 1:{class:x}")),
        });
    }
    for (key @ (device, class), rate) in want {
        let had = have.get(key).filter(|_| stays(device));
        match *class {
            _ if had == Some(rate) => {}
            ROOT => lines.push(act(format!("qdisc add dev {device} root handle 1: htb default {ALL:x}"))),
            class => {
                lines.push(act(format!(
                    "class replace dev {device} parent 1: classid 1:{class:x} htb rate {}kbit burst {1} cburst {1} quantum 15140",
                    rate.kbps, rate.burst
                )));
                if had.is_none() {
                    lines.push(act(queue(device, class, *rate)));
                }
            }
        }
    }
    lines
}

/// Room for a tenth of a second, and for the largest packets that a guest hands over in one piece.
fn queue(device: &str, class: u16, rate: Rate) -> String {
    const LEAST: u64 = 192 << 10;
    let limit = (rate.kbps.saturating_mul(125) / 10).clamp(LEAST, 16 << 20);
    format!("qdisc add dev {device} parent 1:{class:x} handle {:x}: bfifo limit {limit}", 0x100 + class)
}

/// Reads the devices with an `htb` of ours out of what `tc -j qdisc show` prints.
pub fn devices(found: &[serde_json::Value]) -> Vec<String> {
    let ours = |q: &&serde_json::Value| q["kind"] == "htb" && q["handle"] == "1:";
    found.iter().filter(ours).filter_map(|q| Some(q["dev"].as_str()?.to_owned())).collect()
}

/// Reads the classes of a device out of what `tc class show` prints (which is no JSON for them). Their
/// rates are printed rounded, so they count as unknown and are set again.
pub fn found(shapes: &mut Shapes, device: &str, text: &str) {
    shapes.insert((device.to_owned(), ROOT), Rate::default());
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let id = words.next().filter(|w| *w == "class").and_then(|_| words.nth(1));
        let number = id.and_then(|id| id.strip_prefix("1:")).and_then(|n| u16::from_str_radix(n, 16).ok());
        if let Some(number) = number {
            shapes.insert((device.to_owned(), number), Rate::default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(lines: &[Line]) -> Vec<&str> {
        lines.iter().map(|l| l.text.as_str()).collect()
    }

    #[test]
    fn a_limit_comes_changes_and_goes() {
        let rate = Rate::from(Limit { kbps: 8000, burst_kb: 0 });
        assert_eq!(rate, Rate { kbps: 8000, burst: 100_000 });
        let (none, mut some) = (Shapes::new(), Shapes::new());
        insert(&mut some, "t1", ALL, rate);
        assert_eq!(
            texts(&changes(&none, &some, |_| true)),
            [
                "qdisc add dev t1 root handle 1: htb default 1",
                "class replace dev t1 parent 1: classid 1:1 htb rate 8000kbit burst 100000 cburst 100000 quantum 15140",
                "qdisc add dev t1 parent 1:1 handle 101: bfifo limit 196608",
            ]
        );
        assert!(changes(&some, &some, |_| true).is_empty());
        let mut more = Shapes::new();
        insert(&mut more, "t1", ALL, Rate { kbps: 9000, ..rate });
        assert_eq!(changes(&some, &more, |_| true).len(), 1, "only the class");
        assert_eq!(texts(&changes(&some, &none, |_| true)), ["qdisc del dev t1 root"]);
        assert!(changes(&some, &none, |_| false).is_empty(), "it goes with its device");
        // What was found is set again, and nothing is added to it.
        let mut seen = Shapes::new();
        found(
            &mut seen,
            "t1",
            "class htb 1:1 root leaf 101: prio 0 rate 8Mbit ceil 8Mbit burst 97Kb cburst 97Kb \n",
        );
        assert_eq!(changes(&seen, &some, |_| true).len(), 1);
    }

    #[test]
    fn bursts_have_a_least_and_a_largest() {
        assert_eq!(Rate::from(Limit { kbps: 1, burst_kb: 0 }).burst, 16 << 10);
        assert_eq!(Rate::from(Limit { kbps: 1, burst_kb: u64::MAX }).burst, u64::from(u32::MAX));
    }
}
