//! The two slots. Pure: no clock, no locks, no HTTP.
//!
//! One holds the API key in use. The other one holds the key that was in use before, so that a new one that turns out to
//! be wrong loses no call either.

use http::HeaderValue;

use super::{ApiKey, CredentialError};

#[derive(Debug)]
pub(super) struct Slots {
    current: ApiKey,
    other: Option<Other>,
    rotations: u64,
}

#[derive(Debug)]
struct Other {
    key: ApiKey,
    /// Whether Stripe did not accept it when it was in use last.
    rejected: bool,
}

impl Slots {
    pub(super) const fn new(current: ApiKey) -> Self {
        Self { current, other: None, rotations: 0 }
    }

    pub(super) const fn current(&self) -> &ApiKey {
        &self.current
    }

    /// How often the key in use was replaced.
    pub(super) const fn rotations(&self) -> u64 {
        self.rotations
    }

    /// The provider has this key now, while the one in use is accepted as far as is known. Returns whether it is in use
    /// from now on.
    pub(super) fn offered(&mut self, key: ApiKey) -> Result<bool, CredentialError> {
        self.check(&key)?;
        let known_bad = self.other.as_ref().is_some_and(|other| other.rejected && other.key.is_same(&key));
        if known_bad || key.is_same(&self.current) {
            return Ok(false);
        }
        self.replace(key, false);
        Ok(true)
    }

    /// Stripe did not accept the key that a request carried; `newest` is what the provider has now. Returns whether there
    /// is another one in use.
    pub(super) fn rejected(
        &mut self,
        carried: &HeaderValue,
        newest: Option<ApiKey>,
    ) -> Result<bool, CredentialError> {
        if !self.current.is(carried) {
            return Ok(true); // It was replaced meanwhile.
        }
        let checked = newest.map_or(Ok(None), |key| self.check(&key).map(|()| Some(key)));
        if let Ok(Some(key)) = &checked
            && !key.is_same(&self.current)
        {
            self.replace(key.clone(), true);
            return Ok(true);
        }
        match self.other.take_if(|other| !other.rejected) {
            Some(other) => {
                self.replace(other.key, true);
                Ok(true)
            }
            None => checked.map(|_| false),
        }
    }

    /// A key that replaces another one must be of the same mode, and of the same account.
    fn check(&self, key: &ApiKey) -> Result<(), CredentialError> {
        let (expected, found) = (self.current.mode(), key.mode());
        if expected != found {
            return Err(CredentialError::WrongMode { expected, found });
        }
        if self.current.account() != key.account() {
            return Err(CredentialError::WrongAccount);
        }
        Ok(())
    }

    fn replace(&mut self, key: ApiKey, rejected: bool) {
        let before = std::mem::replace(&mut self.current, key);
        self.other = Some(Other { key: before, rejected });
        self.rotations += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(name: &str) -> ApiKey {
        ApiKey::new(format!("sk_live_{name}")).expect("a key")
    }

    fn slots() -> Slots {
        Slots::new(key("a"))
    }

    impl Slots {
        fn uses(&self, name: &str) -> bool {
            self.current.is_same(&key(name))
        }

        /// The key in use is rejected, and the provider has this one.
        fn bad(&mut self, newest: Option<&str>) -> bool {
            let carried = self.current.authorization();
            self.rejected(&carried, newest.map(key)).expect("of the same mode and account")
        }
    }

    #[test]
    fn a_new_key_is_used_from_now_on_and_the_same_one_changes_nothing() {
        let mut slots = slots();
        assert!(!slots.offered(key("a")).expect("of the same mode"));
        assert!(slots.offered(key("b")).expect("of the same mode") && slots.uses("b"));
        assert!(!slots.offered(key("b")).expect("of the same mode"));
        assert_eq!(slots.rotations(), 1);
    }

    #[test]
    fn a_rejected_key_is_replaced_by_what_the_provider_has_and_by_nothing_else() {
        let mut slots = slots();
        assert!(!slots.bad(None) && !slots.bad(Some("a")) && slots.uses("a"));
        assert!(slots.bad(Some("b")) && slots.uses("b"));
        assert!(!slots.bad(Some("b")) && slots.uses("b"), "the one before it was rejected, too");
        assert!(slots.bad(Some("a")) && slots.uses("a"), "unless the provider goes back to it");
        assert_eq!(slots.rotations(), 2);
    }

    #[test]
    fn a_call_that_carried_a_key_of_before_is_told_of_the_one_in_use_without_a_change() {
        let mut slots = slots();
        let old = key("a").authorization();
        assert!(slots.offered(key("b")).expect("of the same mode"));
        for newest in [None, Some(key("b")), Some(key("c"))] {
            assert!(slots.rejected(&old, newest).expect("of the same mode"));
            assert!(slots.uses("b"));
        }
    }

    /// As when the file was torn, or somebody made a mistake.
    #[test]
    fn a_new_key_that_is_rejected_gives_way_to_the_one_before_and_is_not_taken_up_again() {
        let mut slots = slots();
        assert!(slots.offered(key("torn")).expect("of the same mode"));
        assert!(slots.bad(Some("torn")) && slots.uses("a"));
        assert!(!slots.offered(key("torn")).expect("of the same mode") && slots.uses("a"));
        assert!(slots.offered(key("b")).expect("of the same mode") && slots.uses("b"));
        // Should the one before be rejected, there is nothing to lose.
        let mut slots = self::slots();
        assert!(slots.offered(key("early")).expect("of the same mode"));
        assert!(slots.bad(None) && slots.uses("a"));
        assert!(slots.bad(Some("early")) && slots.uses("early"));
    }

    #[test]
    fn a_key_of_another_mode_or_account_is_refused_and_the_old_one_kept() {
        let sandbox = || ApiKey::new("sk_test_b").expect("a key");
        let of = |account: &str| key("b").of_account(account);
        let mut slots = Slots::new(key("a").of_account("acct_1"));
        let carried = slots.current().authorization();
        for wrong in [sandbox().of_account("acct_1"), of("acct_2"), key("b")] {
            let mode = wrong.mode() != slots.current().mode();
            for error in [slots.offered(wrong.clone()), slots.rejected(&carried, Some(wrong))] {
                let error = error.expect_err("refused");
                assert_eq!(matches!(error, CredentialError::WrongMode { .. }), mode, "{error}");
                assert!(slots.uses("a") && slots.rotations() == 0);
            }
        }
        assert!(slots.offered(of("acct_1")).expect("of the same account") && slots.uses("b"));
        // A wrong one does not keep the one before from being used.
        let carried = slots.current().authorization();
        assert!(slots.rejected(&carried, Some(sandbox())).expect("there is the one before"));
        assert!(slots.uses("a"));
    }

    /// What can happen to the slots: a key by its number, or one of another mode.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Offered(Option<usize>),
        /// The key in use is rejected, and the provider has this one.
        Rejected(Option<Option<usize>>),
        /// One of before is: a call was under way for long.
        RejectedLate(usize),
    }

    const NAMES: [&str; 4] = ["a", "b", "c", "d"];

    fn named(number: Option<usize>) -> ApiKey {
        number.map_or_else(|| ApiKey::new("sk_test_a").expect("a key"), |number| key(NAMES[number]))
    }

    proptest! {
        /// S-98: whatever comes in whatever order, the key in use is one that the provider gave, never the one that was just
        /// rejected, and whoever is told that there is another one finds one.
        #[test]
        fn the_key_in_use_is_always_one_that_may_be(
            steps in prop::collection::vec(prop_oneof![
                prop::option::of(0..4_usize).prop_map(Step::Offered),
                prop::option::of(prop::option::of(0..4_usize)).prop_map(Step::Rejected),
                (0..4_usize).prop_map(Step::RejectedLate),
            ], 0..40),
        ) {
            let mut slots = slots();
            let mut given = vec!["a"];
            for step in steps {
                let (before, rotations) = (slots.current().clone(), slots.rotations());
                let unchanged = |slots: &Slots| slots.current().is_same(&before) && slots.rotations() == rotations;
                match step {
                    Step::Offered(number) => match slots.offered(named(number)) {
                        Ok(true) => prop_assert!(!unchanged(&slots) && number.is_some_and(|n| slots.uses(NAMES[n]))),
                        Ok(false) => prop_assert!(unchanged(&slots)),
                        Err(_) => prop_assert!(unchanged(&slots) && number.is_none()),
                    },
                    Step::Rejected(newest) => {
                        let carried = before.authorization();
                        let another = slots.rejected(&carried, newest.map(named));
                        prop_assert_eq!(matches!(another, Ok(true)), !slots.current().is(&carried));
                        prop_assert_eq!(unchanged(&slots), !matches!(another, Ok(true)));
                    }
                    Step::RejectedLate(number) => {
                        let carried = key(NAMES[number]).authorization();
                        if !before.is(&carried) {
                            prop_assert!(slots.rejected(&carried, None).expect("there is one") && unchanged(&slots));
                        }
                    }
                }
                if let Step::Offered(Some(number)) | Step::Rejected(Some(Some(number))) = step {
                    given.push(NAMES[number]);
                }
                prop_assert!(given.iter().any(|name| slots.uses(name)));
            }
        }
    }
}
