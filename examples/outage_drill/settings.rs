//! What is offered, what Stripe is like, and what the clients are set to.

use std::{ffi::OsString, fmt, num::NonZeroU32, path::PathBuf, time::Duration};

pub(crate) const USAGE: &str = "usage: outage_drill [--seed N] [--health SECONDS] [--phases N] [--svg PATH]

  --seed N          what everything random derives from [default: 7]
  --health SECONDS  how long Stripe is well before the storm and before the outage, 5 to 600 [default: 10]
  --phases N        plays the outage N times more with StripeTransport, each time at another moment, 1 to 1000; the last
                    line then has the median of recovered_s, and the worst of the others
  --svg PATH        where the chart goes [default: docs/outage-drill.svg]";

pub(crate) const API_KEY: &str = "sk_test_sim";
pub(crate) const OFFERED_PER_SECOND: u32 = 200;
/// What our governor lets through; by its default table it would be 22.
pub(crate) const ALLOWED_PER_SECOND: NonZeroU32 = NonZeroU32::new(400).expect("not zero");
/// How many attempts a call has, with tower's retry and with ours.
pub(crate) const ATTEMPTS: NonZeroU32 = NonZeroU32::new(3).expect("not zero");

/// Half of all answers take this long at most when Stripe is well, and 99 of 100 `P99`.
pub(crate) const MEDIAN: Duration = Duration::from_millis(120);
pub(crate) const P99: Duration = Duration::from_millis(400);
/// How much longer they take in the stretch of slow responses.
pub(crate) const SLOWER: f64 = 20.0;
/// How long a failure takes during the outage.
pub(crate) const FAILURE: Duration = Duration::from_millis(40);
/// The share of requests that the storm refuses.
pub(crate) const STORM: f64 = 0.9;

/// Of ten calls so many are payments, other writes, and the rest reads.
pub(crate) const PAYMENTS: u64 = 5;
pub(crate) const OTHER_WRITES: u64 = 2;

pub(crate) struct Arguments {
    pub(crate) seed: u64,
    pub(crate) health: Duration,
    pub(crate) phases: Option<u32>,
    pub(crate) svg: PathBuf,
}

impl Arguments {
    /// `None` if help was asked for.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Option<Self>, String> {
        let mut parsed = Self {
            seed: 7,
            health: Duration::from_secs(10),
            phases: None,
            svg: PathBuf::from("docs/outage-drill.svg"),
        };
        while let Some(name) = arguments.next() {
            let name = name.into_string().map_err(|name| format!("there is no argument {name:?}"))?;
            let mut value = || arguments.next().ok_or(format!("{name} needs a value"));
            match name.as_str() {
                "--seed" => parsed.seed = number(&name, &value()?, 0..=u64::MAX)?,
                "--health" => parsed.health = Duration::from_secs(number(&name, &value()?, 5..=600)?),
                "--phases" => {
                    let phases = number(&name, &value()?, 1..=1_000)?;
                    parsed.phases = Some(u32::try_from(phases).map_err(|error| error.to_string())?);
                }
                "--svg" => parsed.svg = value()?.into(),
                "--help" | "-h" => return Ok(None),
                _ => return Err(format!("there is no argument {name:?}")),
            }
        }
        Ok(Some(parsed))
    }
}

fn number(name: &str, value: &OsString, range: std::ops::RangeInclusive<u64>) -> Result<u64, String> {
    let number = value.to_str().and_then(|value| value.parse().ok());
    number.filter(|number| range.contains(number)).ok_or_else(|| {
        format!("{name} must be a whole number from {} to {}, not {value:?}", range.start(), range.end())
    })
}

impl fmt::Display for Arguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, health, .. } = self;
        writeln!(
            f,
            "seed {seed}, {OFFERED_PER_SECOND} calls/s: {} % payments, {} % other writes, {} % reads",
            PAYMENTS * 10,
            OTHER_WRITES * 10,
            100 - (PAYMENTS + OTHER_WRITES) * 10,
        )?;
        writeln!(
            f,
            "script: {health:?} well, 10 s of 429 for {:.0} % of requests, {health:?} well, 30 s down, 20 s well, 10 s slow, \
             20 s well",
            STORM * 100.0
        )?;
        write!(
            f,
            "simulator: no limits; {MEDIAN:?} (p99 {P99:?}) when well, {SLOWER} times that when slow; when down a 503 after \
             {FAILURE:?}"
        )
    }
}

/// Randomness that repeats: the finaliser of splitmix64.
pub(crate) fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Option<Arguments>, String> {
        Arguments::parse(arguments.iter().map(OsString::from))
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (arguments, message) in [
            (&["--seed"][..], "--seed needs a value"),
            (&["--seed", "x"], "--seed must be a whole number from 0 to 18446744073709551615, not \"x\""),
            (&["--health", "4"], "--health must be a whole number from 5 to 600, not \"4\""),
            (&["--phases", "0"], "--phases must be a whole number from 1 to 1000, not \"0\""),
            (&["svg"], "there is no argument \"svg\""),
        ] {
            assert_eq!(parse(arguments).err().as_deref(), Some(message));
        }
    }

    #[test]
    fn arguments_are_taken() {
        assert!(parse(&["--help"]).is_ok_and(|parsed| parsed.is_none()));
        let parsed = parse(&["--health", "60", "--svg", "x.svg", "--phases", "100"]).expect("valid");
        let parsed = parsed.expect("no help");
        assert_eq!((parsed.health, parsed.phases), (Duration::from_secs(60), Some(100)));
        assert_eq!(parsed.svg, PathBuf::from("x.svg"));
    }
}
