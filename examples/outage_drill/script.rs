//! What Stripe is like, and when.

use std::{ops::Range, time::Duration};

use stripe_sim::{Canned, Phase, Reason, Scenario};

use crate::settings;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    Well,
    Storm,
    Down,
    Slow,
}

/// A stretch of time, counted from the start.
#[derive(Clone, Debug)]
pub(crate) struct Stretch {
    pub(crate) weather: Weather,
    pub(crate) time: Range<Duration>,
}

/// Stretches, one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Script(Vec<Stretch>);

impl Script {
    /// All that the chart shows.
    pub(crate) fn whole(health: Duration) -> Self {
        let secs = Duration::from_secs;
        Self::of([
            (Weather::Well, health),
            (Weather::Storm, secs(10)),
            (Weather::Well, health),
            (Weather::Down, secs(30)),
            (Weather::Well, secs(20)),
            (Weather::Slow, secs(10)),
            (Weather::Well, secs(20)),
        ])
    }

    /// The outage alone.
    pub(crate) fn outage(health: Duration) -> Self {
        let secs = Duration::from_secs;
        Self::of([(Weather::Well, health), (Weather::Down, secs(30)), (Weather::Well, secs(20))])
    }

    pub(crate) fn of(stretches: impl IntoIterator<Item = (Weather, Duration)>) -> Self {
        let mut next = Duration::ZERO;
        let stretches = stretches.into_iter().map(|(weather, lasts)| {
            let time = next..next + lasts;
            next = time.end;
            Stretch { weather, time }
        });
        Self(stretches.collect())
    }

    pub(crate) fn stretches(&self) -> &[Stretch] {
        &self.0
    }

    pub(crate) fn end(&self) -> Duration {
        self.0.last().map_or(Duration::ZERO, |last| last.time.end)
    }

    /// When Stripe is down, and how long it is well afterwards.
    pub(crate) fn outage_and_recovery(&self) -> (Range<Duration>, Range<Duration>) {
        let down = self.0.iter().position(|stretch| stretch.weather == Weather::Down).unwrap_or_default();
        let time = |at: usize| self.0.get(at).map_or(self.end()..self.end(), |stretch| stretch.time.clone());
        (time(down), time(down + 1))
    }

    pub(crate) fn scenario(&self) -> Scenario {
        self.0.iter().fold(Scenario::new(), |scenario, Stretch { weather, time }| {
            let phase = Phase::new(time.end - time.start);
            scenario.then(match weather {
                Weather::Well => phase,
                Weather::Storm => phase.answers(
                    Canned::rate_limited(Reason::GlobalRate).after(settings::FAILURE),
                    settings::STORM,
                ),
                Weather::Down => phase.answers(Canned::html(503).after(settings::FAILURE), 1.0),
                Weather::Slow => phase.slower(settings::SLOWER),
            })
        })
    }
}

impl Weather {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Well => "",
            Self::Storm => "429 storm",
            Self::Down => "outage",
            Self::Slow => "slow",
        }
    }
}
