//! What can be told of an error whose type is hidden.

use std::{error::Error as StdError, io};

use crate::vocab::{Failure, FailureKind, TransportError, tracked::TrackedError};

/// A boxed error hides its own type, so what can be told comes from the errors it wraps: the outermost one that is
/// known decides, and without one it is [`FailureKind::Other`] and [`Certainty::Unknown`](crate::Certainty::Unknown).
///
/// Only the errors of this crate's own clients prove that nothing was sent. Those of a client within another one (which may
/// have followed a redirect, or tried another host) tell what went wrong last, and prove nothing about what went before.
// For every `'a`, not for `'static` alone: the compiler forgets that the region is static once a future is spawned,
// and then asks for all of them. That generality is also why the outermost error cannot be downcast.
impl<'a> TransportError for Box<dyn StdError + Send + Sync + 'a> {
    fn failure(&self) -> Failure {
        failure_in_chain(self.source())
    }

    fn as_source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source()
    }
}

/// Deeper errors may belong to another exchange: a request body that streams from a second client fails with *that*
/// client's error, and its failure to connect proves nothing about this request. So the search ends at the first that is
/// known.
fn failure_in_chain(mut next: Option<&(dyn StdError + 'static)>) -> Failure {
    while let Some(error) = next {
        if let Some(failure) = known(error) {
            return failure;
        }
        next = error.source();
    }
    Failure::unknown(FailureKind::Other)
}

fn known(error: &(dyn StdError + 'static)) -> Option<Failure> {
    if error.is::<TrackedError>() {
        return Some(Failure::unknown(FailureKind::Body));
    }
    #[cfg(feature = "hyper-util")]
    if let Some(failure) = super::hyper_util::known_failure(error) {
        return Some(failure);
    }
    #[cfg(feature = "reqwest")]
    if let Some(failure) = super::reqwest::known_failure(error) {
        return Some(failure);
    }
    error.downcast_ref::<io::Error>().map(TransportError::failure)
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;
    use crate::vocab::{BoxError, Certainty};

    #[derive(Debug)]
    struct Wraps(BoxError);

    impl fmt::Display for Wraps {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("wraps")
        }
    }

    impl StdError for Wraps {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            Some(&*self.0)
        }
    }

    #[test]
    fn a_boxed_error_of_no_known_type_is_unknown() {
        let boxed: BoxError = "connection refused, nothing was sent".into();
        assert_eq!(boxed.failure(), Failure::unknown(FailureKind::Other));
        assert!(boxed.as_source().is_none());
        let boxed: BoxError = Box::new(Wraps(boxed));
        assert_eq!(boxed.failure(), Failure::unknown(FailureKind::Other));
        assert!(boxed.as_source().is_some());
    }

    #[test]
    fn a_failed_body_hides_what_made_it_fail() {
        let inner = TrackedError::from_body(io::Error::other("another exchange"));
        let boxed: BoxError = Box::new(Wraps(Box::new(Wraps(Box::new(inner)))));
        assert_eq!(boxed.failure(), Failure::unknown(FailureKind::Body));
    }

    #[test]
    fn a_boxed_error_of_any_region_is_a_transport_error() {
        let boxed: BoxError = "x".into();
        assert_eq!(of_any_region(boxed).certainty(), Certainty::Unknown);
    }

    fn of_any_region<'a>(error: Box<dyn StdError + Send + Sync + 'a>) -> Failure {
        error.failure()
    }
}
