//! The one lock of the library.

#![expect(clippy::disallowed_types, reason = "this is the wrapper that the rest of the library uses")]

use std::sync::PoisonError;

// The model checker has to see each lock that is taken.
#[cfg(all(test, shuttle))]
use shuttle::sync::Mutex;
#[cfg(not(all(test, shuttle)))]
use std::sync::Mutex;

/// A mutex that goes on after a panic of another holder, and can only be held inside a closure: no guard exists that
/// could live across an await.
///
/// What it guards is consistent between any two statements of ours, so a poisoned lock holds nothing broken.
#[derive(Debug, Default)]
pub(crate) struct Lock<T>(Mutex<T>);

impl<T> Lock<T> {
    #[cfg(any(
        feature = "auth-gate",
        feature = "breaker",
        feature = "credentials",
        feature = "detach",
        feature = "governor",
        feature = "idempotency",
        feature = "telemetry"
    ))]
    pub(crate) fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
