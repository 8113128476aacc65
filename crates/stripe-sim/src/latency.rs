//! How long an answer takes, by operation.

use std::{collections::BTreeMap, f64::consts::TAU, time::Duration};

use crate::chance::Draws;

/// The standard deviations that the 99th percentile of a normal distribution lies above its median.
const P99: f64 = 2.326_347_9;

/// How long requests take: log-normal, with a tail of outliers.
///
/// ```
/// use std::time::Duration;
/// use stripe_sim::Profile;
///
/// // Half of the answers within 200 ms, 99 of 100 within 1 s; one in 500 takes twenty times as long as it would.
/// let profile = Profile::log_normal(Duration::from_millis(200), Duration::from_secs(1)).tail(0.002, 20.0);
/// # let _ = profile;
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct Profile {
    median: Duration,
    sigma: f64,
    outliers: f64,
    factor: f64,
}

impl Profile {
    /// Half of all answers take `median` at most, 99 of 100 take `p99` at most; a `p99` below the median counts as it.
    pub fn log_normal(median: Duration, p99: Duration) -> Self {
        let ratio = p99.as_secs_f64() / median.as_secs_f64();
        let sigma = if ratio.is_finite() && ratio > 1.0 { ratio.ln() / P99 } else { 0.0 };
        Self { median, sigma, outliers: 0.0, factor: 1.0 }
    }

    /// Each answer takes exactly this long.
    pub fn constant(latency: Duration) -> Self {
        Self::log_normal(latency, latency)
    }

    /// A share of the answers, taken into `0.0..=1.0`, takes `factor` times as long as it would.
    pub fn tail(mut self, share: f64, factor: f64) -> Self {
        self.outliers = if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) };
        self.factor = if factor.is_finite() { factor.max(0.0) } else { 1.0 };
        self
    }

    fn draw(&self, draws: &mut Draws, slower: f64) -> Duration {
        // Box and Muller; the first number must not be zero.
        let (radius, angle) = (1.0 - draws.unit(), draws.unit());
        let normal = (-2.0 * radius.ln()).sqrt() * (TAU * angle).cos();
        let stretched = if draws.unit() < self.outliers { self.factor } else { 1.0 };
        let seconds = self.median.as_secs_f64() * (self.sigma * normal).exp() * stretched * slower;
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }
}

/// The profiles of all operations. None by default: every answer comes at once.
///
/// Operations go by names such as `payment_intents.confirm`. A request that meets a fault takes the fault's time instead.
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct Latency {
    all: Option<Profile>,
    operations: BTreeMap<String, Profile>,
}

impl Latency {
    /// Every answer comes at once.
    pub fn none() -> Self {
        Self::default()
    }

    /// All operations have this profile.
    pub fn all(profile: Profile) -> Self {
        Self { all: Some(profile), operations: BTreeMap::new() }
    }

    /// One operation has a profile of its own.
    pub fn operation(mut self, name: impl Into<String>, profile: Profile) -> Self {
        self.operations.insert(name.into(), profile);
        self
    }

    /// How long the `nth` request of `order` takes, made `slower` by the weather.
    pub(crate) fn draw(&self, seed: u64, order: &str, nth: u64, operation: &str, slower: f64) -> Duration {
        let profile = self.operations.get(operation).or(self.all.as_ref());
        // Other draws of the same request must not be the same numbers.
        let draws = || Draws::of(!seed, order, nth);
        profile.map_or(Duration::ZERO, |profile| profile.draw(&mut draws(), slower))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn sorted(latency: &Latency, operation: &str, slower: f64) -> Vec<Duration> {
        let mut all: Vec<_> = (0..10_000).map(|nth| latency.draw(7, "o", nth, operation, slower)).collect();
        all.sort();
        all
    }

    #[test]
    fn half_and_99_of_100_are_where_they_were_asked_for() {
        let latency = Latency::all(Profile::log_normal(MS * 200, MS * 1_000));
        let drawn = sorted(&latency, "x", 1.0);
        assert!((MS * 190..MS * 210).contains(&drawn[5_000]), "{:?}", drawn[5_000]);
        assert!((MS * 900..MS * 1_100).contains(&drawn[9_900]), "{:?}", drawn[9_900]);
        assert_eq!(drawn, sorted(&latency, "x", 1.0));
    }

    #[test]
    fn outliers_and_weather_stretch_it() {
        let latency = Latency::all(Profile::constant(MS * 10).tail(0.1, 50.0));
        let drawn = sorted(&latency, "x", 2.0);
        assert_eq!((drawn[0], drawn[9_999]), (MS * 20, MS * 1_000));
        let outliers = drawn.iter().filter(|latency| **latency > MS * 20).count();
        assert!((900..1_100).contains(&outliers), "{outliers}");
    }

    #[test]
    fn an_operation_may_have_its_own() {
        let latency = Latency::none().operation("a", Profile::constant(MS));
        assert_eq!(latency.draw(1, "o", 0, "a", 1.0), MS);
        assert_eq!(latency.draw(1, "o", 0, "b", 1.0), Duration::ZERO);
        let odd = Latency::all(Profile::log_normal(Duration::ZERO, MS).tail(f64::NAN, f64::INFINITY));
        assert_eq!(odd.draw(1, "o", 0, "a", f64::INFINITY), Duration::MAX);
    }
}
