//! What the crate promises, shown on what the other side saw: one file for each promise.

mod campaign;
mod support;

mod bad_input;
mod cancellation;
mod composition;
mod contract;
mod expiry;
mod guard;
mod keys;
mod locks;
mod retries;
mod reuse;
mod secrets;
mod spawn;
mod unknown_outcomes;
mod wire;
