//! What is printed.

use std::{fmt, time::Duration};

use crate::{
    drill::Run,
    figures::{Figures, median},
};

pub(crate) const LEGEND: &str =
    "recovered: after the outage, until 99 % of the calls that are offered within a second succeed
herd: the busiest second on the wire of the ten afterwards, by the mean of what was offered";

pub(crate) struct Table<'a>(pub(crate) &'a [Run]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<8} {:^44} {:^22} {:^19}", "", "while Stripe is down", "afterwards", "all in all")?;
        writeln!(
            f,
            "{:<8} {:>8} {:>9} {:>9} {:>10}   {:>12} {:>10} {:>10} {:>10}",
            "client",
            "offered",
            "reached",
            "reached",
            "succeeded",
            "recovered",
            "herd",
            "offered",
            "succeeded"
        )?;
        for run in self.0 {
            let figures = Figures::of(run);
            let Figures { offered, reached, succeeded, herd, .. } = figures;
            let all = run.calls.iter().filter(|call| call.succeeded).count();
            writeln!(
                f,
                "{:<8} {offered:>8} {reached:>9} {:>7.1} % {succeeded:>10}   {:>12} {herd:>10.2} {:>10} {all:>10}",
                run.name,
                percent(reached, offered),
                seconds(figures.recovered),
                run.calls.len(),
            )?;
        }
        Ok(())
    }
}

/// What several outages came to.
pub(crate) struct Spread<'a>(pub(crate) &'a [Figures]);

impl fmt::Display for Spread<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reached = || self.0.iter().map(|figures| figures.reached);
        let slowest = self.0.iter().map(|figures| figures.recovered.unwrap_or(Duration::MAX)).max();
        write!(
            f,
            "recovered after {} (median) to {} (worst), {} to {} requests reached Stripe while it was down, herd at most \
             {:.2}",
            seconds(median(self.0)),
            seconds(slowest.filter(|time| *time < Duration::MAX)),
            reached().min().unwrap_or_default(),
            reached().max().unwrap_or_default(),
            self.0.iter().map(|figures| figures.herd).fold(0.0, f64::max),
        )
    }
}

fn seconds(time: Option<Duration>) -> String {
    time.map_or_else(|| "never".to_owned(), |time| format!("{:.2} s", time.as_secs_f64()))
}

#[expect(clippy::cast_precision_loss, reason = "there are not that many")]
fn percent(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}
