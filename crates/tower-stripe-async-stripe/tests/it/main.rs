//! What the adapter promises, shown on what the simulator saw: one file for each promise.

mod support;

mod answers;
mod bad_input;
mod headers;
mod lists;
mod payments;
mod reports;
mod secrets;
mod spawn;
mod strategies;
mod timeouts;
