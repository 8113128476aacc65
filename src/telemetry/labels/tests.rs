use super::*;
use crate::vocab::{InvalidKey, metric};

fn assert_in_order<T: Label>(list: &[&str], values: &[(T, &'static str)]) {
    let indices: Vec<_> = values.iter().map(|(value, _)| value.index()).collect();
    assert_eq!(indices, (0..list.len()).collect::<Vec<_>>());
    let words: Vec<_> = values.iter().map(|(_, word)| *word).collect();
    assert_eq!(words, list);
}

macro_rules! in_order {
    ($list:expr; $($value:expr),+ $(,)?) => { assert_in_order(&$list, &[$(($value, $value.as_str())),+]) };
}

#[test]
fn every_value_has_the_place_of_its_word() {
    in_order!(metric::OUTCOMES;
        Outcome::Success, Outcome::Foreign, Outcome::Redirect, Outcome::InvalidRequest, Outcome::KeyMismatch,
        Outcome::Unauthorized, Outcome::Declined, Outcome::Forbidden, Outcome::NotFound, Outcome::Interrupted,
        Outcome::Conflict, Outcome::KeyInUse, Outcome::RateLimited(RateLimitReason::Other), Outcome::LockTimeout,
        Outcome::ServerError, Outcome::Refused, Outcome::Cancelled,
        Outcome::Transport(FailureKind::Connect), Outcome::Transport(FailureKind::Dns),
        Outcome::Transport(FailureKind::Tcp), Outcome::Transport(FailureKind::Tls),
        Outcome::Transport(FailureKind::ConnectTimeout), Outcome::Transport(FailureKind::Canceled),
        Outcome::Transport(FailureKind::StreamRefused), Outcome::Transport(FailureKind::Timeout),
        Outcome::Transport(FailureKind::Reset), Outcome::Transport(FailureKind::Body),
        Outcome::Transport(FailureKind::Protocol), Outcome::Transport(FailureKind::Other),
    );
    in_order!(metric::CERTAINTIES;
        Certainty::NotSent, Certainty::Rejected, Certainty::Executed, Certainty::Unknown);
    in_order!(metric::CLASSES;
        Class::Money, Class::Write, Class::Read, Class::Search, Class::Upload, Class::Meter);
    in_order!(metric::MODES; Mode::Live, Mode::Sandbox);
    in_order!(metric::PRIORITIES; Priority::Background, Priority::Normal, Priority::Critical);
    in_order!(metric::PURPOSES; Purpose::First, Purpose::Retry, Purpose::Poll, Purpose::Resend, Purpose::Rotated);
    in_order!(metric::REASONS[..LOCK_TIMEOUT];
        RateLimitReason::GlobalRate, RateLimitReason::GlobalConcurrency, RateLimitReason::EndpointRate,
        RateLimitReason::EndpointConcurrency, RateLimitReason::ResourceSpecific, RateLimitReason::Other,
        RateLimitReason::Unstated,
    );
    assert_eq!(metric::REASONS[LOCK_TIMEOUT], Outcome::LockTimeout.as_str());
    let (time, host) = (std::time::Duration::ZERO, || "evil.example".into());
    in_order!(metric::REFUSALS;
        Refusal::InvalidKey(InvalidKey::Empty), Refusal::ConflictingKeys,
        Refusal::KeyTooOld { age: None, limit: time }, Refusal::ExplicitKeyRequired, Refusal::KeyBirthUnknown,
        Refusal::KeyReused, Refusal::DeadlineExceeded, Refusal::HostNotAllowed { host: host() },
        Refusal::PlainHttp { host: host() }, Refusal::NoRandomness, Refusal::CircuitOpen { retry_in: None },
        Refusal::AuthBlocked { retry_in: time }, Refusal::Saturated { retry_in: time },
        Refusal::WaitTooLong { wait: time }, Refusal::ObjectCooling { retry_in: time }, Refusal::ShuttingDown,
        Refusal::CallEnded, Refusal::ReportReused, Refusal::InvalidUri, Refusal::WrongMode { expected: Mode::Live, found: Mode::Sandbox },
    );
    let limits = [
        Stop::Attempts,
        Stop::Deadline,
        Stop::Budget,
        Stop::KeyAge,
        Stop::Body,
        Stop::Header,
        Stop::Unkeyed,
        Stop::RetryAfter,
    ];
    assert_eq!(limits.map(Stop::as_str), metric::LIMITS);
    assert_eq!(limits.map(limit), std::array::from_fn(Some));
    assert_eq!([Stop::Final, Stop::Refused, Stop::Cancelled].map(limit), [None; 3]);
}

/// Their variants are named as the words are.
#[test]
fn the_words_of_this_file_have_their_places_too() {
    let snake = |debug: String| {
        debug.chars().fold(String::new(), |mut word, letter| {
            if letter.is_ascii_uppercase() && !word.is_empty() {
                word.push('_');
            }
            word.push(letter.to_ascii_lowercase());
            word
        })
    };
    use {Cause as C, Ending as E, KeyError as K};
    let endings = [
        E::Success,
        E::Rejected,
        E::Limited,
        E::Failed,
        E::Timeout,
        E::Transport,
        E::Refused,
        E::Invalid,
        E::Cancelled,
    ];
    assert_eq!(endings.map(|ending| snake(format!("{ending:?}"))), metric::RESULTS);
    let causes = [C::Timeout, C::Transport, C::Failed, C::InUse, C::Cancelled];
    assert_eq!(causes.map(|cause| snake(format!("{cause:?}"))), metric::CAUSES);
    let errors = [K::MismatchLocal, K::MismatchRemote, K::InUse, K::TooOld, K::Conflicting, K::Invalid];
    assert_eq!(errors.map(|error| snake(format!("{error:?}"))), metric::KEY_ERRORS);
    for (index, ending) in endings.into_iter().enumerate() {
        assert_eq!(ending.index(), index);
    }
}

#[test]
fn what_breaks_a_rule_is_not_what_has_to_wait() {
    let of = |refusal: &Refusal| Ending::of(Outcome::Refused, Some(refusal));
    assert_eq!(of(&Refusal::ConflictingKeys), Ending::Invalid);
    assert_eq!(of(&Refusal::CircuitOpen { retry_in: None }), Ending::Refused);
    assert_eq!(of(&Refusal::DeadlineExceeded), Ending::Refused);
    assert_eq!(Ending::of(Outcome::Refused, None), Ending::Refused);
}
