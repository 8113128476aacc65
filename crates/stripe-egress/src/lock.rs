//! The one lock of the crate.
//!
//! Poison is passed over: a panic while one call is noted must not take the notes of all others away. The closure keeps the
//! lock from being held across an await.

#![expect(clippy::disallowed_types, reason = "this is the one wrapper around the standard mutex")]

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

/// A value that one thread at a time can look at.
pub(crate) struct Lock<T>(Mutex<T>);

impl<T> Lock<T> {
    pub(crate) const fn new(value: T) -> Self {
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
