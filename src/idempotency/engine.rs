//! Which key a request leaves with. Pure: no randomness, no clock.

use http::HeaderMap;

use crate::vocab::{IdempotencyKey, Refusal, headers::IDEMPOTENCY_KEY};

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

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::vocab::{InvalidKey, key::History};

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
}
