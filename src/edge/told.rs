//! What a client's error told, where a box does not hide it.

use std::error::Error as StdError;
use std::fmt;

use crate::vocab::transport_error::Failure;

/// What an error of a client told, as its source: a boxed error cannot be downcast, but its sources can, so the boxed
/// error loses nothing.
#[derive(Debug)]
pub(super) struct Told<E> {
    pub(super) failure: Failure,
    pub(super) error: E,
}

impl<E> fmt::Display for Told<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "transport failure: {}", self.failure.kind())
    }
}

impl<E: StdError + 'static> StdError for Told<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.error)
    }
}
