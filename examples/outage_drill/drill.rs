//! One client through one script.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use stripe_sim::{Latency, Limits, Profile, Sim};
use tokio::{runtime, task::JoinSet, time};
use tower_stripe::BoxError;

use crate::{
    clients::{Circuits, Client, Protection},
    figures::Figures,
    script::Script,
    settings::{self, Arguments, mix},
};

const TURN: Duration = Duration::from_millis(1_000 / settings::OFFERED_PER_SECOND as u64);

/// What happened.
pub(crate) struct Run {
    pub(crate) name: &'static str,
    pub(crate) settings: String,
    pub(crate) script: Script,
    /// In the order in which they were offered.
    pub(crate) calls: Vec<Call>,
    /// When each request reached the server.
    pub(crate) on_the_wire: Vec<Duration>,
    /// The states of the breaker, each from when it was first seen.
    pub(crate) circuits: Vec<(Duration, Circuits)>,
}

/// One call; times are counted from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Call {
    pub(crate) offered: Duration,
    pub(crate) done: Duration,
    pub(crate) succeeded: bool,
}

/// A single thread with a clock that jumps from one timer to the next: nothing but the seed decides what happens.
pub(crate) fn run(protection: Protection, script: &Script, seed: u64) -> Result<Run, BoxError> {
    runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()?
        .block_on(offer(protection, script, seed))
}

/// The outage again and again, each time at another moment of a second and with other draws: it begins and ends at
/// another point of whatever runs by a clock of its own.
pub(crate) fn phases(count: u32, arguments: &Arguments) -> Result<Vec<Figures>, BoxError> {
    (0..count)
        .map(|phase| {
            // In whole turns, so that each outage meets as many calls.
            let later = TURN * (settings::OFFERED_PER_SECOND * phase / count);
            let seed = arguments.seed.wrapping_add(u64::from(phase));
            let run = run(Protection::Ours, &Script::outage(arguments.health + later), seed)?;
            Ok(Figures::of(&run))
        })
        .collect()
}

async fn offer(protection: Protection, script: &Script, seed: u64) -> Result<Run, BoxError> {
    let sim = Sim::builder()
        .seed(seed)
        .limits(Limits::unlimited())
        .latency(Latency::all(Profile::log_normal(settings::MEDIAN, settings::P99)))
        .scenario(script.scenario())
        .build();
    let client = Client::new(protection, &sim, seed)?;
    let clock = Arc::new(sim.clock().clone());
    let mut tasks = JoinSet::new();
    let mut circuits: Vec<(Duration, Circuits)> = Vec::new();
    let mut number = 0;
    loop {
        let offered = moment(seed, number);
        if offered >= script.end() {
            break;
        }
        time::sleep(offered.saturating_sub(clock.elapsed())).await;
        let calling = client.send(request(seed, number)?);
        let clock = Arc::clone(&clock);
        tasks.spawn(async move {
            let succeeded = calling.await;
            Call { offered, done: clock.elapsed(), succeeded }
        });
        if let Some(now) = client.circuits()
            && circuits.last().is_none_or(|(_, last)| *last != now)
        {
            circuits.push((offered, now));
        }
        number += 1;
    }
    let mut calls = tasks.join_all().await;
    calls.sort_unstable();
    let on_the_wire = sim.log().iter().map(|seen| seen.at).collect();
    let Client { name, settings, .. } = client;
    Ok(Run { name, settings, script: script.clone(), calls, on_the_wire, circuits })
}

/// When a call is offered: at a constant rate, and within its turn by chance.
fn moment(seed: u64, number: u32) -> Duration {
    // Timers have the resolution of a millisecond.
    let turn = u64::try_from(TURN.as_millis()).unwrap_or(1);
    TURN * number + Duration::from_millis(mix(seed ^ mix(u64::from(number))) % turn)
}

fn request(seed: u64, number: u32) -> Result<Request<Full<Bytes>>, http::Error> {
    let draw = mix(!seed ^ mix(u64::from(number))) % 10;
    let (method, path, kind, body) = if draw < settings::PAYMENTS {
        let form = "amount=1099&currency=eur&confirm=true&payment_method=pm_card_visa";
        ("POST", "/v1/payment_intents", "payment", form)
    } else if draw < settings::PAYMENTS + settings::OTHER_WRITES {
        ("POST", "/v1/customers", "customer", "name=Ada")
    } else {
        ("GET", "/v1/customers?limit=1", "read", "")
    };
    let order = format!("{kind}-{number}");
    let mut request = Request::builder()
        .method(method)
        .uri(format!("https://api.stripe.com{path}"))
        .header("authorization", format!("Bearer {}", settings::API_KEY))
        .header("content-type", "application/x-www-form-urlencoded")
        .header("x-sim-order", &order);
    if kind == "payment" {
        request = request.header("idempotency-key", &order);
    }
    request.body(Full::from(body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Weather;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn as_many_calls_are_offered_in_any_outage() {
        for seed in 0..20 {
            let (down, _) = Script::outage(SECOND * 5 + TURN * 7).outage_and_recovery();
            let offered = (0..20_000).filter(|number| down.contains(&moment(seed, *number))).count();
            assert_eq!(offered, 6_000);
        }
    }

    #[test]
    fn who_protects_nothing_sends_everything_and_a_budget_of_retries_a_little_more() -> Result<(), BoxError> {
        let script = Script::outage(SECOND * 5);
        let none = run(Protection::None, &script, 1)?;
        let figures = Figures::of(&none);
        assert_eq!((figures.offered, figures.reached, figures.succeeded), (6_000, 6_000, 0));
        assert_eq!(none.calls.len(), 11_000);
        assert!(none.calls.iter().all(|call| call.succeeded || call.offered >= SECOND * 5));
        let tower = Figures::of(&run(Protection::Tower, &script, 1)?);
        assert!((6_100..6_800).contains(&tower.reached), "{tower:?}");
        Ok(())
    }

    #[test]
    fn a_drill_repeats_exactly() -> Result<(), BoxError> {
        let script =
            Script::of([(Weather::Well, SECOND), (Weather::Down, SECOND * 2), (Weather::Well, SECOND)]);
        let (one, other) = (run(Protection::Ours, &script, 3)?, run(Protection::Ours, &script, 3)?);
        assert_eq!((&one.calls, &one.on_the_wire), (&other.calls, &other.on_the_wire));
        assert_eq!(one.circuits, other.circuits);
        assert_ne!(one.calls, run(Protection::Ours, &script, 4)?.calls);
        Ok(())
    }
}
