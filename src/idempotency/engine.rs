//! Which key a request leaves with. Pure: no randomness, no clock.

use http::HeaderMap;

use crate::vocab::{IdempotencyKey, Refusal, headers::IDEMPOTENCY_KEY, key::History};

/// What to do about the key of a request that needs one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// The caller's.
    Use(IdempotencyKey),
    /// None was given.
    Generate,
}

/// Chooses between the keys in the headers and the one in the extensions. What the caller knows of its key stands in the
/// extension, so that one wins where they are equal.
pub(super) fn choose(headers: &HeaderMap, extension: Option<&IdempotencyKey>) -> Result<Choice, Refusal> {
    let mut chosen = extension.cloned();
    for value in headers.get_all(IDEMPOTENCY_KEY) {
        let key = IdempotencyKey::from_header(value).map_err(Refusal::InvalidKey)?;
        match &chosen {
            Some(chosen) if chosen.as_str() != key.as_str() => return Err(Refusal::ConflictingKeys),
            Some(_) => {}
            None => chosen = Some(key),
        }
    }
    Ok(chosen.map_or(Choice::Generate, Choice::Use))
}

/// What is asked of the keys of calls that may move money.
#[derive(Clone, Copy, Debug)]
pub(super) struct Required {
    pub(super) explicit_key: bool,
    pub(super) birth: bool,
}

impl Required {
    /// `is_money` is asked only if the answer matters.
    pub(super) fn check(self, choice: &Choice, is_money: impl FnOnce() -> bool) -> Result<(), Refusal> {
        let refusal = match choice {
            Choice::Generate if self.explicit_key => Refusal::ExplicitKeyRequired,
            Choice::Use(key) if self.birth && key.birth().is_none() && key.history() != History::Fresh => {
                Refusal::KeyBirthUnknown
            }
            Choice::Use(_) | Choice::Generate => return Ok(()),
        };
        if is_money() { Err(refusal) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use http::HeaderValue;

    use super::*;
    use crate::vocab::InvalidKey;

    fn key(key: &str) -> IdempotencyKey {
        IdempotencyKey::new(key).unwrap()
    }

    fn headers(values: &[&str]) -> HeaderMap {
        values
            .iter()
            .map(|value| (IDEMPOTENCY_KEY, HeaderValue::from_bytes(value.as_bytes()).unwrap()))
            .collect()
    }

    #[test]
    fn header_and_extension_agree_or_are_refused() {
        let conflict = Err(Refusal::ConflictingKeys);
        for (lines, extension, expected) in [
            (&[][..], None, Ok(Choice::Generate)),
            (&["a"], None, Ok(Choice::Use(key("a")))),
            (&[], Some("a"), Ok(Choice::Use(key("a")))),
            (&["a"], Some("a"), Ok(Choice::Use(key("a")))),
            (&["a", "a"], None, Ok(Choice::Use(key("a")))),
            (&["a"], Some("b"), conflict.clone()),
            (&["a", "b"], None, conflict.clone()),
            (&["a", "b"], Some("a"), conflict),
            (&[""], None, Err(Refusal::InvalidKey(InvalidKey::Empty))),
            (&["ä"], None, Err(Refusal::InvalidKey(InvalidKey::Character { position: 0 }))),
        ] {
            let extension = extension.map(key);
            let mut headers_of_case = HeaderMap::new();
            for (name, value) in headers(lines) {
                headers_of_case.append(name.unwrap_or(IDEMPOTENCY_KEY), value);
            }
            assert_eq!(choose(&headers_of_case, extension.as_ref()), expected, "{lines:?} {extension:?}");
        }
    }

    #[test]
    fn what_the_caller_knows_of_its_key_is_kept() {
        let fresh = key("a").fresh();
        let Ok(Choice::Use(chosen)) = choose(&headers(&["a"]), Some(&fresh)) else { panic!("refused") };
        assert_eq!(chosen.history(), History::Fresh);
    }

    #[test]
    fn money_needs_what_is_required_of_its_keys() {
        let use_key = |key: IdempotencyKey| Choice::Use(key);
        let born = use_key(key("a").born_at(SystemTime::UNIX_EPOCH));
        let (explicit, birth) = (Err(Refusal::ExplicitKeyRequired), Err(Refusal::KeyBirthUnknown));
        for (choice, without_key, without_birth) in [
            (Choice::Generate, &explicit, &Ok(())),
            (use_key(key("a")), &Ok(()), &birth),
            (use_key(key("a").fresh()), &Ok(()), &Ok(())),
            (born, &Ok(()), &Ok(())),
        ] {
            let check =
                |explicit_key, birth, money| Required { explicit_key, birth }.check(&choice, || money);
            assert_eq!(&check(true, false, true), without_key, "{choice:?}");
            assert_eq!(&check(false, true, true), without_birth, "{choice:?}");
            assert_eq!(check(true, true, false), Ok(()), "{choice:?}");
            assert_eq!(check(false, false, true), Ok(()), "{choice:?}");
        }
    }
}
