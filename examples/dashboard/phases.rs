//! What happens in a round: the weather at Stripe, and the calls beside those that are always made.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use stripe_sim::{Canned, Fault, FaultKind, Faults, Phase as Weather, Reason, Scenario, Sim, Step};
use tower_stripe::{IdempotencyKey, Priority};

use crate::{
    calls::{self, Call},
    round::Round,
    settings::{LIVE, REVOKED, SANDBOX, Shop},
};

/// How long each lasts.
pub(crate) const LASTS: Duration = Duration::from_secs(7);

/// A part of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Well,
    Lost,
    Mistakes,
    Revoked,
    Outage,
    Back,
    Limits,
}

impl Phase {
    pub(crate) const ALL: [Self; 7] = [
        Self::Well,
        Self::Lost,
        Self::Mistakes,
        Self::Revoked,
        Self::Outage,
        Self::Back,
        // Last, since what was slowed down comes back within a minute.
        Self::Limits,
    ];

    /// What happens, and the rows of the dashboard that show it.
    const fn about(self) -> (&'static str, &'static str) {
        match self {
            Self::Well => ("all is well", "Golden signals"),
            Self::Lost => ("four answers in ten are lost, late or a 500", "Money safety, Retries"),
            Self::Mistakes => (
                "declines, wrong parameters, keys used wrongly, callers that leave",
                "Money safety, Stripe errors",
            ),
            Self::Revoked => ("an API key that was revoked", "Stripe errors, Meta"),
            Self::Outage => ("Stripe cannot be reached", "Breaker, Golden signals"),
            Self::Back => ("Stripe is back, and what is unknown is looked into", "Breaker, Money safety"),
            Self::Limits => {
                ("429s for every reason, and a report that floods the queue", "Governor, Stripe errors")
            }
        }
    }

    /// Sets the weather.
    pub(crate) fn begin(self, shop: &Shop, sim: &Sim) {
        sim.faults(match self {
            Self::Lost => Faults::probability(0.45)
                .only(FaultKind::F3)
                .weight(FaultKind::F2, 2)
                .weight(FaultKind::F5, 2)
                .weight(FaultKind::Slow, 1)
                .weight(FaultKind::StoredServerError, 1)
                .late(Duration::from_millis(600)..=Duration::from_millis(1_500))
                .slow(Duration::from_millis(300)..=Duration::from_millis(900)),
            _ => Faults::none(),
        });
        sim.play(match self {
            Self::Outage => {
                Scenario::new().then(Weather::new(LASTS).faults(Faults::probability(1.0).only(FaultKind::F0)))
            }
            _ => Scenario::new(),
        });
        if self == Self::Outage {
            // Somebody has put a new API key in place of the one that was revoked.
            shop.checkout.auth_gate().reset();
        }
    }

    /// The calls beside those that are always made, ten times a second.
    pub(crate) fn calls(self, round: &mut Round<'_>) {
        // Of all rounds, so that no order and no key is an earlier one's.
        let number = round.shop.next();
        match self {
            Self::Well | Self::Lost | Self::Back => {}
            Self::Mistakes => mistakes(round, number),
            Self::Revoked => {
                let order = format!("revoked-{number}");
                round.spawn(Call::payment(&round.shop.checkout, REVOKED, &round.base, &order));
            }
            Self::Outage => {
                // Nobody listens on port 1: no connection, which is as often our side's fault as Stripe's.
                let url = "http://127.0.0.1:1/v1/customers".to_owned();
                let order = format!("nobody-{number}");
                round.spawn(Call::new(&round.shop.office, SANDBOX, "GET", url, &order));
            }
            Self::Limits => limits(round, number),
        }
    }
}

fn mistakes(round: &mut Round<'_>, number: u64) {
    const DECLINES: [&str; 5] =
        ["insufficient_funds", "do_not_honor", "lost_card", "expired_card", "generic_decline"];
    let order = format!("mistake-{number}");
    let (checkout, office) = (&round.shop.checkout, &round.shop.office);
    let intents = format!("{}/v1/payment_intents", round.base);
    let on_checkout = |order: &str| Call::new(checkout, LIVE, "POST", intents.clone(), order);
    let form = calls::payment_form(&order, "pm_card_visa");

    let card = format!("pm_sim_declined_{}", DECLINES[(round.tick / 5) as usize % DECLINES.len()]);
    let declined = (round.tick % 5 == 1).then(|| {
        let order = format!("declined-{number}");
        on_checkout(&order).form(calls::payment_form(&order, &card))
    });
    // Most callers wait for as long as it takes.
    let mut patience = Duration::from_secs(10);
    let call = match round.tick % 10 {
        0 => on_checkout(&order).form("amount=-1&currency=eur"),
        1 => Call::new(checkout, LIVE, "GET", format!("{intents}/pi_none"), &order),
        // Other parameters under a key that was used: the guard knows, and where there is none, Stripe does.
        2 => on_checkout(&order).form(form).key(IdempotencyKey::derive("reused", &[&round.base])),
        3 => {
            let key = IdempotencyKey::derive("reused", &[&round.base]);
            Call::new(office, SANDBOX, "POST", intents, &order).form(form).key(key)
        }
        4 => {
            round.sim.script(&order, [Step::Answer(Canned::key_in_use())]);
            on_checkout(&order).form(form)
        }
        5 => {
            round.sim.script(&order, [Step::Answer(Canned::lock_timeout())]);
            on_checkout(&order).form(form)
        }
        6 => {
            let long_ago = SystemTime::UNIX_EPOCH;
            on_checkout(&order).form(form).key(calls::payment_key(&order).born_at(long_ago))
        }
        7 => {
            let call = on_checkout(&order).form(form).key(calls::payment_key(&order));
            call.header("idempotency-key", "another")
        }
        8 => on_checkout(&order).form(form).header("idempotency-key", ""),
        _ => {
            patience = Duration::from_millis(100);
            round.sim.script(&order, [Step::Fault(Fault::Slow { delay: Duration::from_millis(300) })]);
            on_checkout(&order).form(form)
        }
    };
    round.spawn_for(patience, call);
    if let Some(declined) = declined {
        round.spawn(declined);
    }
}

fn limits(round: &mut Round<'_>, number: u64) {
    let order = format!("limited-{number}");
    let office = &round.shop.office;
    let lists = ["customers", "events", "charges", "refunds"];
    let list = |place: usize| format!("{}/v1/{}", round.base, lists[place % lists.len()]);
    let answer = match round.tick % 7 {
        5 => Canned::lock_timeout(),
        6 => Canned::rate_limited(Reason::GlobalRate).header("stripe-rate-limited-reason", "new-reason"),
        at => Canned::rate_limited(Reason::ALL[at as usize % Reason::ALL.len()]),
    };
    round.sim.script(&order, [Step::Answer(answer)]);
    // Callers go away while they wait for a turn, or to be tried again.
    let patience = Duration::from_millis(if round.tick.is_multiple_of(3) { 200 } else { 10_000 });
    let url = format!("{}/v1/customers", round.base);
    let limited = Call::new(office, SANDBOX, "POST", url, &order).form(format!("metadata[order]={order}"));
    let payment = Call::payment(office, SANDBOX, &round.base, &format!("office-{number}"));
    let reads: Vec<_> = (0..6)
        .map(|place| {
            let order = format!("report-{number}-{place}");
            Call::new(office, SANDBOX, "GET", list(place), &order).priority(Priority::Background)
        })
        .collect();
    // A proxy's, which gives no reason: nothing is slowed down for it.
    let unstated = format!("unstated-{number}");
    round.sim.script(&unstated, [Step::Answer(Canned::html(429))]);
    let url = format!("{}/v1/customers", round.base);
    let of_checkout = Call::new(&round.shop.checkout, LIVE, "POST", url, &unstated).form("name=Ada");
    round.spawn(of_checkout);
    round.spawn_for(patience, limited);
    round.spawn(payment);
    for read in reads {
        round.spawn(read);
    }
}

/// What a round consists of.
pub(crate) struct Plan;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = LASTS.as_secs();
        write!(
            f,
            "A round of {} s, and the rows of the dashboard that move:",
            seconds * Phase::ALL.len() as u64
        )?;
        for (at, phase) in Phase::ALL.into_iter().enumerate() {
            let (what, rows) = phase.about();
            write!(f, "\n  from {:>2} s  {what:<66} {rows}", seconds * at as u64)?;
        }
        Ok(())
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.about().0)
    }
}
