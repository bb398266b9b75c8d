//! What is printed.

use crate::load::Outcome;
use std::io::Write;

/// Prints a line a figure as soon as it is known.
pub struct Report;

impl Report {
    fn line(&self, text: &str) {
        // A closed pipe is the reader's business.
        let _ = writeln!(std::io::stdout(), "{text}");
    }

    /// What else the machine was doing.
    pub fn conditions(&mut self) {
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load: Vec<&str> = load.split_whitespace().take(3).collect();
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        self.line(&format!("{cores} cores, load over 1, 5 and 15 minutes: {}", load.join(", ")));
    }

    /// Throughput and latency of a load; `today` is what people run now, in requests per second.
    pub fn load(&mut self, name: &str, outcome: Outcome, today: Option<f64>) {
        let ratio = today.map_or(String::new(), |t| format!("  {:>6.0} x", outcome.per_second() / t));
        self.line(&format!(
            "{name:<42} {:>9.0} /s  median {:>8.2} ms  p99 {:>8.2} ms{ratio}",
            outcome.per_second(),
            outcome.quantile_ms(0.5),
            outcome.quantile_ms(0.99),
        ));
        if outcome.failed > 0 {
            self.line(&format!("{:<42} {:>9} requests failed: {}", "", outcome.failed, outcome.example));
        }
    }

    pub fn rate(&mut self, name: &str, per_second: f64, today: f64) {
        self.line(&format!("{name:<42} {per_second:>9.1} /s {:>44.0} x", per_second / today));
    }

    /// A rate that we have nothing to compare with.
    pub fn rate_alone(&mut self, name: &str, per_second: f64) {
        self.line(&format!("{name:<42} {per_second:>9.1} /s"));
    }

    /// A single figure. `today` with `true` when more is better.
    pub fn figure(&mut self, name: &str, value: f64, unit: &str, today: Option<(f64, bool)>) {
        let ratio = match today {
            None => String::new(),
            Some((t, true)) => format!("  {:.2} x", value / t),
            Some((t, false)) => format!("  {:.0} x", t / value),
        };
        self.line(&format!("{name:<42} {value:>9.2} {unit}{ratio}"));
    }
}
