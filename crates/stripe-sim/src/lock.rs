//! The one lock of the crate.
//!
//! A panic of a test's thread while it holds the lock must not hide the state that the test wants to look at next, so
//! poison is passed over. The closure keeps the lock from being held across an await.

#![expect(clippy::disallowed_types, reason = "this is the one wrapper around the standard mutex")]

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

/// A value that one thread at a time can look at.
pub(crate) struct Lock<T>(Mutex<T>);

impl<T> Lock<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// Runs `work` on the value, whatever happened to earlier holders.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T> fmt::Debug for Lock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panicking_holder_does_not_lock_the_others_out() {
        let lock = std::sync::Arc::new(Lock::new(1));
        let other = std::sync::Arc::clone(&lock);
        let panicked = std::thread::spawn(move || other.with(|_| panic!("on purpose"))).join();
        assert!(panicked.is_err());
        assert_eq!(lock.with(|value| *value), 1);
    }
}
