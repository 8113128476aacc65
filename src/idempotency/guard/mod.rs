//! The guard of callers' keys: one request for each, and one call at a time.

mod canonical;
mod config;
mod engine;
mod fingerprint;
mod turn;

pub use self::config::GuardConfig;
pub(super) use self::turn::{Guard, Guarded, Turn};
