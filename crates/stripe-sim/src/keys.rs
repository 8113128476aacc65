//! The v1 key store: what Stripe remembers about an `Idempotency-Key`.
//!
//! It stores the status and body of the first request whose execution began, whatever they were, and answers every
//! later request with the same key from there. Whoever refuses a request before execution calls [`KeyStore::abandon`]:
//! nothing is stored then, and the key stays usable. Other parameters are a mismatch even while the first request still
//! executes.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::StatusCode;

/// How long a key is remembered, from its first use.
pub(crate) const LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// A key within the account and mode that it was used in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ScopedKey {
    pub(crate) scope: Scope,
    pub(crate) key: String,
}

/// Whose objects and keys a request is about. An account is of one mode.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Scope {
    pub(crate) account: usize,
    /// The connected account of the `Stripe-Account` header.
    pub(crate) connected: Option<String>,
}

/// A result that is bound to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
    pub(crate) original_request: String,
}

/// What is to be done with a keyed request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// Execute it, then [`KeyStore::finish`] or [`KeyStore::abandon`].
    Execute,
    /// Answer with what the first request came to.
    Replay(Stored),
    /// The first request is still executing.
    InUse,
    /// The key was first used with other parameters or on another path.
    Mismatch,
}

#[derive(Default)]
pub(crate) struct KeyStore {
    entries: BTreeMap<ScopedKey, Entry>,
}

struct Entry {
    first_used: SystemTime,
    fingerprint: String,
    /// Absent while the first request executes.
    result: Option<Stored>,
}

impl KeyStore {
    /// Looks `key` up for a request with the parameters `fingerprint`, and takes it if it is free.
    pub(crate) fn begin(&mut self, key: &ScopedKey, fingerprint: &str, now: SystemTime) -> Begin {
        if let Some(entry) = self.entries.get(key).filter(|entry| entry.remembered(now)) {
            return match &entry.result {
                _ if entry.fingerprint != fingerprint => Begin::Mismatch,
                Some(stored) => Begin::Replay(stored.clone()),
                None => Begin::InUse,
            };
        }
        let entry = Entry { first_used: now, fingerprint: fingerprint.to_owned(), result: None };
        self.entries.insert(key.clone(), entry);
        Begin::Execute
    }

    /// Binds `result` to a key whose execution began.
    pub(crate) fn finish(&mut self, key: &ScopedKey, result: Stored) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.result = Some(result);
        }
    }

    /// Gives a key back whose request was refused before it executed.
    pub(crate) fn abandon(&mut self, key: &ScopedKey) {
        if self.entries.get(key).is_some_and(|entry| entry.result.is_none()) {
            self.entries.remove(key);
        }
    }
}

impl Entry {
    fn remembered(&self, now: SystemTime) -> bool {
        // A clock that was set back makes a key young, not old. A key is never forgotten while it executes.
        self.result.is_none() || now.duration_since(self.first_used).unwrap_or_default() < LIFE
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(name: &str) -> ScopedKey {
        ScopedKey { scope: Scope { account: 0, connected: None }, key: name.to_owned() }
    }

    fn stored(request: &str) -> Stored {
        Stored { status: StatusCode::OK, body: Bytes::from("{}"), original_request: request.to_owned() }
    }

    #[test]
    fn a_key_is_remembered_for_24_hours_from_first_use() {
        let start = SystemTime::UNIX_EPOCH;
        let mut keys = KeyStore::default();
        assert_eq!(keys.begin(&key("k"), "a", start), Begin::Execute);
        keys.finish(&key("k"), stored("req_1"));
        let almost = start + LIFE - Duration::from_nanos(1);
        assert_eq!(keys.begin(&key("k"), "a", almost), Begin::Replay(stored("req_1")));
        assert_eq!(keys.begin(&key("k"), "a", start + LIFE), Begin::Execute);
    }

    #[test]
    fn scopes_do_not_share_keys() {
        let mut keys = KeyStore::default();
        let scopes = [
            Scope { account: 0, connected: None },
            Scope { account: 1, connected: None },
            Scope { account: 0, connected: Some("acct_1".to_owned()) },
        ];
        for scope in scopes {
            let key = ScopedKey { scope, key: "k".to_owned() };
            assert_eq!(keys.begin(&key, "a", SystemTime::UNIX_EPOCH), Begin::Execute);
        }
    }

    #[test]
    fn an_executing_key_is_in_use_however_old() {
        let start = SystemTime::UNIX_EPOCH;
        let mut keys = KeyStore::default();
        assert_eq!(keys.begin(&key("k"), "a", start), Begin::Execute);
        assert_eq!(keys.begin(&key("k"), "a", start + LIFE), Begin::InUse);
        keys.abandon(&key("k"));
        assert_eq!(keys.begin(&key("k"), "b", start + LIFE), Begin::Execute);
    }

    /// The store as one would write it on a napkin: a list of everything that ever happened.
    #[derive(Default)]
    struct Napkin(Vec<(u8, u8, u64, Option<u32>)>);

    impl Napkin {
        fn begin(&mut self, key: u8, parameters: u8, now: u64) -> Begin {
            let known = self.0.iter().rev().find(|(k, ..)| *k == key).copied();
            match known {
                Some((_, _, at, Some(_))) if now.saturating_sub(at) >= 24 => {}
                Some((_, p, _, _)) if p != parameters => return Begin::Mismatch,
                Some((_, _, _, Some(request))) => return Begin::Replay(stored(&request.to_string())),
                Some((_, _, _, None)) => return Begin::InUse,
                None => {}
            }
            self.0.push((key, parameters, now, None));
            Begin::Execute
        }
    }

    #[derive(Clone, Debug)]
    enum Move {
        Begin { key: u8, parameters: u8 },
        Finish { key: u8 },
        Abandon { key: u8 },
        Advance { hours: u64 },
        Rewind { hours: u64 },
    }

    fn moves() -> impl Strategy<Value = Vec<Move>> {
        let one = prop_oneof![
            6 => (0..3_u8, 0..2_u8).prop_map(|(key, parameters)| Move::Begin { key, parameters }),
            4 => (0..3_u8).prop_map(|key| Move::Finish { key }),
            1 => (0..3_u8).prop_map(|key| Move::Abandon { key }),
            2 => (0..30_u64).prop_map(|hours| Move::Advance { hours }),
            1 => (0..30_u64).prop_map(|hours| Move::Rewind { hours }),
        ];
        proptest::collection::vec(one, 0..60)
    }

    proptest! {
        #[test]
        fn the_store_agrees_with_a_naive_one(moves in moves()) {
            let mut keys = KeyStore::default();
            let mut napkin = Napkin::default();
            let mut hour = 1_000_u64;
            for (request, step) in (0_u32..).zip(moves) {
                match step {
                    Move::Begin { key: name, parameters } => {
                        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(hour * 3600);
                        let real = keys.begin(&key(&name.to_string()), &parameters.to_string(), now);
                        prop_assert_eq!(real, napkin.begin(name, parameters, hour));
                    }
                    Move::Finish { key: name } => {
                        if let Some(open) = napkin.0.iter_mut().rev().find(|(k, ..)| *k == name)
                            && open.3.is_none()
                        {
                            open.3 = Some(request);
                            keys.finish(&key(&name.to_string()), stored(&request.to_string()));
                        }
                    }
                    Move::Abandon { key: name } => {
                        let last = napkin.0.iter().rposition(|(k, ..)| *k == name);
                        if let Some(last) = last.filter(|last| napkin.0[*last].3.is_none()) {
                            napkin.0.remove(last);
                            // An older, expired use may come to light again; the store has forgotten it, so must we.
                            napkin.0.retain(|(k, ..)| *k != name);
                        }
                        keys.abandon(&key(&name.to_string()));
                    }
                    Move::Advance { hours } => hour += hours,
                    Move::Rewind { hours } => hour -= hours.min(hour),
                }
            }
        }
    }
}
