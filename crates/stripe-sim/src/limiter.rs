//! The limiters: a decision per request, made before the API key or the idempotency key is even looked at.
//!
//! Because it runs first, a request that it refuses was certainly not executed and nothing was stored for its key.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use crate::limits::{Limits, Reason};

const HOUR: Duration = Duration::from_secs(3600);
const TOKEN: u128 = 1_000_000_000;

/// What the limiter needs to know about a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    /// The API key as it was sent, good or not.
    pub(crate) credential: &'a str,
    pub(crate) live: bool,
    pub(crate) endpoint: &'static str,
    pub(crate) search: bool,
    /// The payment intent that would be updated.
    pub(crate) intent: Option<&'a str>,
}

/// A place among the requests in progress; given back with [`Limiter::release`].
#[derive(Debug)]
#[must_use]
pub(crate) struct Slot {
    credential: String,
    endpoint: &'static str,
}

#[derive(Default)]
pub(crate) struct Limiter {
    accounts: BTreeMap<String, Account>,
}

#[derive(Default)]
struct Account {
    in_progress: u32,
    bucket: Bucket,
    endpoints: BTreeMap<&'static str, Endpoint>,
    updates: BTreeMap<String, Vec<SystemTime>>,
}

#[derive(Default)]
struct Endpoint {
    in_progress: u32,
    bucket: Bucket,
}

impl Limiter {
    /// Admits a request, or says which limiter refused it. A refusal spends nothing.
    pub(crate) fn admit(&mut self, limits: &Limits, ask: Ask<'_>, now: SystemTime) -> Result<Slot, Reason> {
        let account = self.accounts.entry(ask.credential.to_owned()).or_default();
        let endpoint = account.endpoints.entry(ask.endpoint).or_default();
        let global_rate = if ask.live { limits.live_rate } else { limits.sandbox_rate };
        let endpoint_rate = if ask.search { limits.search_rate } else { limits.endpoint_rate };

        if limits.global_concurrency.is_some_and(|most| account.in_progress >= most) {
            return Err(Reason::GlobalConcurrency);
        }
        if !account.bucket.has_token(global_rate, now) {
            return Err(Reason::GlobalRate);
        }
        if limits.endpoint_concurrency.is_some_and(|most| endpoint.in_progress >= most) {
            return Err(Reason::EndpointConcurrency);
        }
        if !endpoint.bucket.has_token(endpoint_rate, now) {
            return Err(Reason::EndpointRate);
        }
        if let (Some(intent), Some(most)) = (ask.intent, limits.intent_updates_per_hour) {
            let updates = account.updates.entry(intent.to_owned()).or_default();
            updates.retain(|at| now.duration_since(*at).unwrap_or_default() < HOUR);
            if updates.len() >= usize::try_from(most).unwrap_or(usize::MAX) {
                return Err(Reason::ResourceSpecific);
            }
            updates.push(now);
        }
        account.bucket.spend(global_rate);
        endpoint.bucket.spend(endpoint_rate);
        account.in_progress += 1;
        endpoint.in_progress += 1;
        Ok(Slot { credential: ask.credential.to_owned(), endpoint: ask.endpoint })
    }

    /// Ends the request that holds `slot`.
    pub(crate) fn release(&mut self, slot: Slot) {
        if let Some(account) = self.accounts.get_mut(&slot.credential) {
            account.in_progress = account.in_progress.saturating_sub(1);
            if let Some(endpoint) = account.endpoints.get_mut(slot.endpoint) {
                endpoint.in_progress = endpoint.in_progress.saturating_sub(1);
            }
        }
    }
}

/// A token bucket that holds one second's worth, in billionths of a token so that no rounding ever loses one.
#[derive(Default)]
struct Bucket {
    level: Option<(u128, SystemTime)>,
}

impl Bucket {
    fn has_token(&mut self, rate: Option<u32>, now: SystemTime) -> bool {
        let Some(rate) = rate.map(u128::from) else {
            return true;
        };
        let full = rate * TOKEN;
        let level = match self.level {
            None => full,
            // A clock that was set back refills nothing, and starts counting from where it is now.
            Some((level, at)) => {
                full.min(level + now.duration_since(at).unwrap_or_default().as_nanos().saturating_mul(rate))
            }
        };
        self.level = Some((level, now));
        level >= TOKEN
    }

    fn spend(&mut self, rate: Option<u32>) {
        if let (Some(_), Some((level, _))) = (rate, &mut self.level) {
            *level = level.saturating_sub(TOKEN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASK: Ask<'static> = Ask {
        credential: "sk_test_a",
        live: false,
        endpoint: "customers.create",
        search: false,
        intent: None,
    };

    fn admitted(limiter: &mut Limiter, limits: &Limits, ask: Ask<'_>, times: u32, now: SystemTime) -> u32 {
        (0..times).map(|_| limiter.admit(limits, ask, now)).filter(|slot| slot.is_ok()).count() as u32
    }

    #[test]
    fn a_bucket_gives_a_burst_and_then_its_rate() {
        let limits = Limits::unlimited().sandbox_rate(5);
        let mut limiter = Limiter::default();
        let start = SystemTime::UNIX_EPOCH;
        assert_eq!(admitted(&mut limiter, &limits, ASK, 10, start), 5);
        assert_eq!(admitted(&mut limiter, &limits, ASK, 10, start + Duration::from_millis(399)), 1);
        assert_eq!(admitted(&mut limiter, &limits, ASK, 10, start + Duration::from_millis(400)), 1);
        assert_eq!(admitted(&mut limiter, &limits, ASK, 10, start + Duration::from_secs(60)), 5);
    }

    #[test]
    fn a_clock_set_back_refills_nothing_and_blocks_nothing() {
        let limits = Limits::unlimited().sandbox_rate(1);
        let mut limiter = Limiter::default();
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
        assert_eq!(admitted(&mut limiter, &limits, ASK, 2, start), 1);
        let back = start - Duration::from_secs(50);
        assert_eq!(admitted(&mut limiter, &limits, ASK, 1, back), 0);
        assert_eq!(admitted(&mut limiter, &limits, ASK, 1, back + Duration::from_secs(1)), 1);
    }

    #[test]
    fn each_limiter_gives_its_own_reason() {
        let intent = Ask { endpoint: "payment_intents.confirm", intent: Some("pi_1"), ..ASK };
        let search = Ask { search: true, endpoint: "payment_intents.search", ..ASK };
        let live = Ask { live: true, ..ASK };
        let none = Limits::unlimited;
        for (limits, ask, reason) in [
            (none().sandbox_rate(1), ASK, Reason::GlobalRate),
            (none().live_rate(1), live, Reason::GlobalRate),
            (none().global_concurrency(1), ASK, Reason::GlobalConcurrency),
            (none().endpoint_rate(1), ASK, Reason::EndpointRate),
            (none().search_rate(1), search, Reason::EndpointRate),
            (none().endpoint_concurrency(1), ASK, Reason::EndpointConcurrency),
            (none().intent_updates_per_hour(1), intent, Reason::ResourceSpecific),
        ] {
            let mut limiter = Limiter::default();
            let first = limiter.admit(&limits, ask, SystemTime::UNIX_EPOCH);
            assert!(first.is_ok(), "{reason}");
            let second = limiter.admit(&limits, ask, SystemTime::UNIX_EPOCH);
            assert_eq!(second.err(), Some(reason));
        }
    }

    #[test]
    fn limits_are_counted_per_account_and_per_endpoint() {
        let limits = Limits::unlimited().endpoint_rate(1);
        let mut limiter = Limiter::default();
        let now = SystemTime::UNIX_EPOCH;
        assert_eq!(admitted(&mut limiter, &limits, ASK, 2, now), 1);
        assert_eq!(admitted(&mut limiter, &limits, Ask { endpoint: "other", ..ASK }, 2, now), 1);
        assert_eq!(admitted(&mut limiter, &limits, Ask { credential: "sk_test_b", ..ASK }, 2, now), 1);
    }

    #[test]
    fn a_released_slot_can_be_taken_again() {
        let limits = Limits::unlimited().global_concurrency(1);
        let mut limiter = Limiter::default();
        let now = SystemTime::UNIX_EPOCH;
        for _ in 0..3 {
            let slot = limiter.admit(&limits, ASK, now).expect("the slot is free again");
            assert_eq!(limiter.admit(&limits, ASK, now).err(), Some(Reason::GlobalConcurrency));
            limiter.release(slot);
        }
    }

    #[test]
    fn updates_of_an_intent_are_counted_over_a_sliding_hour() {
        let limits = Limits::unlimited().intent_updates_per_hour(2);
        let ask = Ask { intent: Some("pi_1"), ..ASK };
        let mut limiter = Limiter::default();
        let start = SystemTime::UNIX_EPOCH;
        assert_eq!(admitted(&mut limiter, &limits, ask, 1, start), 1);
        assert_eq!(admitted(&mut limiter, &limits, ask, 2, start + Duration::from_secs(1800)), 1);
        assert_eq!(admitted(&mut limiter, &limits, ask, 2, start + HOUR), 1);
        assert_eq!(admitted(&mut limiter, &limits, Ask { intent: Some("pi_2"), ..ask }, 3, start + HOUR), 2);
    }
}
