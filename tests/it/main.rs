//! What the crate promises, shown on what the other side saw: one file for each promise.

mod campaign;
mod support;

mod bad_input;
mod cancellation;
mod expiry;
mod keys;
mod locks;
mod retries;
mod spawn;
mod unknown_outcomes;
