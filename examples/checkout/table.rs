//! What is printed.

use std::{fmt, time::Duration};

use tower_stripe::Report;

use crate::shop::Verdicts;

pub(crate) struct Table<'a>(pub(crate) &'a [Verdicts]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<20} {:>8} {:>8} {:>7} {:>7} {:>8} {:>8} {:>13} {:>6} {:>8} {:>8}",
            "client",
            "payments",
            "attempts",
            "retries",
            "replays",
            "unknown",
            "at last",
            "CHARGED TWICE",
            "lost",
            "p50",
            "p99"
        )?;
        for run in self.0 {
            let unknown = |count: usize| if run.naive { "-".to_owned() } else { count.to_string() };
            writeln!(
                f,
                "{:<20} {:>8} {:>8} {:>7} {:>7} {:>8} {:>8} {:>13} {:>6} {:>8} {:>8}",
                run.client,
                run.payments,
                run.attempts,
                run.retries,
                run.replays,
                unknown(run.unknown_at_first),
                unknown(run.unknown_at_last),
                run.charged_twice,
                run.lost,
                millis(percentile(&run.took, 50)),
                millis(percentile(&run.took, 99)),
            )?;
        }
        Ok(())
    }
}

/// Of a sorted list.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted
        .get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or_default()
}

fn millis(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

/// The report of one call.
pub(crate) struct Story<'a>(pub(crate) &'a Report);

impl fmt::Display for Story<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.0;
        for (number, attempt) in report.attempts().iter().enumerate() {
            write!(
                f,
                "  {:>2}. {:<14} {:<10} after {:>4} ms",
                number + 1,
                attempt.outcome.to_string(),
                attempt.certainty.to_string(),
                attempt.took.as_millis()
            )?;
            if let Some(id) = &attempt.request_id {
                write!(f, "  {id}")?;
            }
            if let Some(original) = attempt.original_request.as_ref().filter(|_| attempt.replayed) {
                write!(f, ", the stored answer to {original}")?;
            }
            writeln!(f)?;
        }
        let operation = report.operation().map_or("other", |operation| operation.name());
        let stopped = report.stopped().map_or("", |stop| stop.as_str());
        writeln!(
            f,
            "  {operation}: {}, so {}; waited {} ms in all; stopped: {stopped}",
            report.certainty(),
            report.advice(),
            report.waited().as_millis(),
        )
    }
}
