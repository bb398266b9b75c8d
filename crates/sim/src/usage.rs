//! What simulated hosts and guests say they used: waves that follow from the time and from who is asked, so that
//! graphs have something to show and nothing is kept.

use axum::Router;
use axum::extract::{Path, RawQuery};
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::routing::get;
use base::Micros;
use base::doc::usage::{History, Sample};
use std::f64::consts::TAU;
use std::hash::{DefaultHasher, Hash, Hasher};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// As far back as hosts remember, and the time between two looks, in seconds.
const DAY_S: u64 = 24 * 3600;
const EVERY_S: u64 = 60;
/// Processors and memory of a simulated host, as [`crate::facts`] says.
const HOST_CORES: f64 = 64.0;
const HOST_MIB: f64 = 262_144.0;
/// What a simulated guest is taken to have.
const GUEST_CORES: f64 = 1.0;
const GUEST_MIB: f64 = 400.0;

/// The word by which the region shows whom of the hosts it means: all answer at one address.
pub fn token(host: &str) -> String {
    format!("simulated-{host}")
}

/// Serves from `tasks` and returns where.
pub fn serve(listener: TcpListener, tasks: &mut JoinSet<()>) -> String {
    let url = listener.local_addr().map(|a| format!("http://{a}")).unwrap_or_default();
    let router = Router::new()
        .route("/v1/history", get(host))
        .route("/v1/guests/{id}/history", get(guest))
        .route("/v1/guests/{id}/diagnostics", get(async || json("{}")));
    tasks.spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::warn!(%error, "simulated hosts do not tell any more what they use");
        }
    });
    url
}

async fn host(headers: HeaderMap, RawQuery(query): RawQuery) -> impl IntoResponse {
    let who = headers.get("authorization").map(|v| v.as_bytes().to_vec()).unwrap_or_default();
    told(&history(&who, HOST_CORES, HOST_MIB, query.as_deref().unwrap_or_default()))
}

async fn guest(Path(id): Path<String>, RawQuery(query): RawQuery) -> impl IntoResponse {
    told(&history(&id, GUEST_CORES, GUEST_MIB, query.as_deref().unwrap_or_default()))
}

fn told(history: &History) -> impl IntoResponse + use<> {
    json(serde_json::to_string(history).unwrap_or_default())
}

fn json(text: impl Into<String>) -> impl IntoResponse {
    ([("content-type", "application/json")], text.into())
}

fn history(who: &impl Hash, cores: f64, memory_mib: f64, query: &str) -> History {
    let asked = |name: &str| {
        let pair = query.split('&').filter_map(|p| p.split_once('=')).find(|(key, _)| *key == name);
        pair.and_then(|(_, value)| value.parse::<u64>().ok())
    };
    let mut hash = DefaultHasher::new();
    who.hash(&mut hash);
    let seed = hash.finish() % 1_000;
    let now = u64::try_from(Micros::now().0 / 1_000_000).unwrap_or_default();
    let looks = (now.saturating_sub(DAY_S) / EVERY_S)..=(now / EVERY_S);
    let samples: Vec<_> = looks.map(|n| sample(n * EVERY_S, seed, cores, memory_mib)).collect();
    let since = Micros(i64::try_from(asked("since").unwrap_or_default()).unwrap_or_default() * 1_000_000);
    let points = asked("points").and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
    History::part(&samples, since, points)
}

/// Counters are the areas under their waves, so that they only grow.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a simulation"
)]
fn sample(at: u64, seed: u64, cores: f64, memory_mib: f64) -> Sample {
    // Of the last days only, for the sake of the digits of a float.
    let (t, phase) = ((at % (1 << 24)) as f64, seed as f64);
    // mean · (1 + depth · sin) over periods of an hour and a half and of seven minutes.
    let area = |mean: f64, shift: f64| {
        let wave = |period: f64, depth: f64| {
            let w = TAU / period;
            -depth / w * (w * t + phase + shift).cos()
        };
        (mean * (t + wave(5_400.0, 0.55) + wave(433.0, 0.3) + 10_000.0)) as u64
    };
    let swing = (TAU * t / 9_000.0 + phase).sin();
    Sample {
        at,
        cpu_ns: area(cores * 1e9 * (0.15 + phase / 4_000.0), 0.0),
        memory_mib: (memory_mib * (0.5 + phase / 5_000.0 + 0.05 * swing)) as u64,
        disk_read: area(cores * 300_000.0, 2.0),
        disk_written: area(cores * 900_000.0, 3.0),
        net_in: area(cores * 2_000_000.0, 1.0),
        net_out: area(cores * 700_000.0, 4.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_grow_and_are_the_same_whenever_they_are_asked() {
        let all = history(&"a", 4.0, 100.0, "").samples;
        assert!(all.len() > 1_400, "{}", all.len());
        for pair in all.windows(2) {
            let (a, b) = (pair[0], pair[1]);
            assert!(
                a.cpu_ns <= b.cpu_ns && a.net_in <= b.net_in && a.disk_written <= b.disk_written,
                "{a:?} {b:?}"
            );
            assert!(b.cpu_ns - a.cpu_ns <= 4 * EVERY_S * 1_000_000_000, "no more than there is: {a:?} {b:?}");
        }
        let some = history(&"a", 4.0, 100.0, &format!("since={}&points=10", all[1_000].at)).samples;
        assert!(some.len() <= 10 && some.iter().all(|s| all.contains(s) || s.at > all[all.len() - 1].at));
    }
}
