//! The v2 key store: what Stripe remembers about the key of a v2 request.
//!
//! It remembers not an answer but what the request achieved. A request that succeeded changes nothing when it comes
//! again, and is answered with how things stand by then. One that failed is executed again, except for the part that
//! was achieved already. Like its v1 sibling it keeps nothing of a request that was refused before it executed.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use crate::keys::ScopedKey;

/// How long a key is remembered, from its first use.
pub(crate) const LIFE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What is to be done with a keyed request; `S` is what a request achieved.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Begin<S> {
    /// Execute what is not achieved yet, then [`KeyStore::succeeded`], [`KeyStore::failed`] or [`KeyStore::abandon`].
    Execute(Option<S>),
    /// Change nothing, and answer with how this stands.
    Replay(S),
    /// A request with this key is executing.
    InUse,
    /// The key was first used with other parameters or on another path.
    Mismatch,
}

pub(crate) struct KeyStore<S> {
    entries: BTreeMap<ScopedKey, Entry<S>>,
}

struct Entry<S> {
    first_used: SystemTime,
    fingerprint: String,
    state: State,
    achieved: Option<S>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// For the first time.
    Executing,
    /// After a failure.
    ExecutingAgain,
    Failed,
    Succeeded,
}

impl<S> Default for KeyStore<S> {
    fn default() -> Self {
        Self { entries: BTreeMap::new() }
    }
}

impl<S: Clone> KeyStore<S> {
    /// Looks `key` up for a request with the parameters `fingerprint`, and takes it if it is to be executed.
    pub(crate) fn begin(&mut self, key: &ScopedKey, fingerprint: &str, now: SystemTime) -> Begin<S> {
        if let Some(entry) = self.entries.get_mut(key).filter(|entry| entry.remembered(now)) {
            if entry.fingerprint != fingerprint {
                return Begin::Mismatch;
            }
            return match (entry.state, &entry.achieved) {
                (State::Executing | State::ExecutingAgain, _) => Begin::InUse,
                (State::Succeeded, Some(achieved)) => Begin::Replay(achieved.clone()),
                (State::Failed | State::Succeeded, achieved) => {
                    let achieved = achieved.clone();
                    entry.state = State::ExecutingAgain;
                    Begin::Execute(achieved)
                }
            };
        }
        let (fingerprint, state) = (fingerprint.to_owned(), State::Executing);
        self.entries.insert(key.clone(), Entry { first_used: now, fingerprint, state, achieved: None });
        Begin::Execute(None)
    }

    /// The request achieved all it was for.
    pub(crate) fn succeeded(&mut self, key: &ScopedKey, achieved: S) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.state = State::Succeeded;
            entry.achieved = Some(achieved);
        }
    }

    /// The execution failed; what it `achieved` before that is not to be done again.
    pub(crate) fn failed(&mut self, key: &ScopedKey, achieved: Option<S>) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.state = State::Failed;
            entry.achieved = achieved.or_else(|| entry.achieved.take());
        }
    }

    /// Gives a key back whose request was refused before it executed.
    pub(crate) fn abandon(&mut self, key: &ScopedKey) {
        match self.entries.get_mut(key) {
            Some(entry) if entry.state == State::ExecutingAgain => entry.state = State::Failed,
            Some(entry) if entry.state == State::Executing => {
                self.entries.remove(key);
            }
            _ => {}
        }
    }
}

impl<S> Entry<S> {
    fn remembered(&self, now: SystemTime) -> bool {
        // As in v1: a clock that was set back makes a key young, and a key that executes is never forgotten.
        matches!(self.state, State::Executing | State::ExecutingAgain)
            || now.duration_since(self.first_used).unwrap_or_default() < LIFE
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::keys::Scope;

    fn key(name: u8) -> ScopedKey {
        ScopedKey { scope: Scope { account: 0, connected: None }, key: name.to_string() }
    }

    #[test]
    fn a_key_is_remembered_for_30_days_from_first_use_and_a_second_try_does_not_renew_it() {
        let start = SystemTime::UNIX_EPOCH;
        let mut keys = KeyStore::default();
        assert_eq!(keys.begin(&key(1), "a", start), Begin::Execute(None));
        keys.failed(&key(1), None);
        let almost = start + LIFE - Duration::from_nanos(1);
        assert_eq!(keys.begin(&key(1), "a", almost), Begin::Execute(None));
        keys.succeeded(&key(1), 7);
        assert_eq!(keys.begin(&key(1), "a", almost), Begin::Replay(7));
        assert_eq!(keys.begin(&key(1), "b", start + LIFE), Begin::Execute(None));
    }

    #[test]
    fn what_a_failure_achieved_survives_further_failures() {
        let now = SystemTime::UNIX_EPOCH;
        let mut keys = KeyStore::default();
        assert_eq!(keys.begin(&key(1), "a", now), Begin::Execute(None));
        keys.failed(&key(1), Some(7));
        for give_up in [KeyStore::abandon, |keys: &mut KeyStore<i32>, key: &_| keys.failed(key, None)] {
            assert_eq!(keys.begin(&key(1), "a", now), Begin::Execute(Some(7)));
            assert_eq!(keys.begin(&key(1), "a", now), Begin::InUse);
            give_up(&mut keys, &key(1));
        }
        assert_eq!(keys.begin(&key(1), "b", now), Begin::Mismatch);
    }

    /// The store as one would write it on a napkin: everything that ever happened, read anew each time.
    #[derive(Default)]
    struct Napkin(Vec<(u8, Note)>);

    #[derive(Clone, Copy)]
    enum Note {
        Began { parameters: u8, day: u64 },
        Failed(Option<u32>),
        Succeeded(u32),
        Abandoned,
    }

    struct Life {
        parameters: u8,
        day: u64,
        open: bool,
        tries: usize,
        succeeded: bool,
        achieved: Option<u32>,
    }

    impl Napkin {
        /// What is known of `key` at `day`.
        fn life(&self, key: u8, day: u64) -> Option<Life> {
            let mut life: Option<Life> = None;
            for (_, note) in self.0.iter().filter(|(k, _)| *k == key) {
                match (*note, &mut life) {
                    (Note::Began { parameters, day }, None) => {
                        life = Some(Life {
                            parameters,
                            day,
                            open: true,
                            tries: 0,
                            succeeded: false,
                            achieved: None,
                        });
                    }
                    (Note::Began { parameters, day }, Some(known)) => {
                        // Only a key that had died begins with other parameters or after success.
                        if known.succeeded || day.saturating_sub(known.day) >= 30 {
                            *known = Life {
                                parameters,
                                day,
                                open: true,
                                tries: 0,
                                succeeded: false,
                                achieved: None,
                            };
                        }
                        known.open = true;
                    }
                    (Note::Failed(achieved), Some(known)) => {
                        known.open = false;
                        known.tries += 1;
                        known.achieved = achieved.or(known.achieved);
                    }
                    (Note::Succeeded(achieved), Some(known)) => {
                        known.open = false;
                        known.tries += 1;
                        (known.succeeded, known.achieved) = (true, Some(achieved));
                    }
                    (Note::Abandoned, Some(known)) if known.tries == 0 => life = None,
                    (Note::Abandoned, Some(known)) => known.open = false,
                    (_, None) => {}
                }
            }
            life.filter(|life| life.open || day.saturating_sub(life.day) < 30)
        }

        fn begin(&mut self, key: u8, parameters: u8, day: u64) -> Begin<u32> {
            let begin = match self.life(key, day) {
                None => Begin::Execute(None),
                Some(life) if life.parameters != parameters => Begin::Mismatch,
                Some(life) if life.open => Begin::InUse,
                Some(Life { succeeded: true, achieved: Some(achieved), .. }) => Begin::Replay(achieved),
                Some(life) => Begin::Execute(life.achieved),
            };
            if matches!(begin, Begin::Execute(_)) {
                self.0.push((key, Note::Began { parameters, day }));
            }
            begin
        }

        fn note(&mut self, key: u8, day: u64, note: Note) -> bool {
            let open = self.life(key, day).is_some_and(|life| life.open);
            if open {
                self.0.push((key, note));
            }
            open
        }
    }

    #[derive(Clone, Copy, Debug)]
    enum Move {
        Begin { key: u8, parameters: u8 },
        Succeed { key: u8 },
        Fail { key: u8, achieved: bool },
        Abandon { key: u8 },
        Advance { days: u64 },
    }

    fn moves() -> impl Strategy<Value = Vec<Move>> {
        let one = prop_oneof![
            8 => (0..3_u8, 0..2_u8).prop_map(|(key, parameters)| Move::Begin { key, parameters }),
            2 => (0..3_u8).prop_map(|key| Move::Succeed { key }),
            3 => (0..3_u8, any::<bool>()).prop_map(|(key, achieved)| Move::Fail { key, achieved }),
            1 => (0..3_u8).prop_map(|key| Move::Abandon { key }),
            2 => (0..40_u64).prop_map(|days| Move::Advance { days }),
        ];
        proptest::collection::vec(one, 0..80)
    }

    proptest! {
        #[test]
        fn the_store_agrees_with_a_naive_one(moves in moves()) {
            let mut keys = KeyStore::default();
            let mut napkin = Napkin::default();
            let mut day = 0;
            for (number, step) in (0_u32..).zip(moves) {
                match step {
                    Move::Begin { key: name, parameters } => {
                        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(day * 24 * 3600);
                        let real = keys.begin(&key(name), &parameters.to_string(), now);
                        prop_assert_eq!(real, napkin.begin(name, parameters, day));
                    }
                    Move::Succeed { key: name } => {
                        if napkin.note(name, day, Note::Succeeded(number)) {
                            keys.succeeded(&key(name), number);
                        }
                    }
                    Move::Fail { key: name, achieved } => {
                        let achieved = achieved.then_some(number);
                        if napkin.note(name, day, Note::Failed(achieved)) {
                            keys.failed(&key(name), achieved);
                        }
                    }
                    Move::Abandon { key: name } => {
                        if napkin.note(name, day, Note::Abandoned) {
                            keys.abandon(&key(name));
                        }
                    }
                    Move::Advance { days } => day += days,
                }
            }
        }
    }
}
