//! What the crate promises, shown on what the other side saw: one file for each promise.

mod campaign;
mod support;

mod bad_input;
mod buffered;
mod cancellation;
mod circuit;
mod composition;
mod contract;
mod credentials;
mod declines;
mod detach;
mod docs;
mod expiry;
mod guard;
mod handed_back;
mod hostile_input;
mod keys;
mod locks;
mod outages;
mod partitions;
mod probes;
mod retries;
mod reuse;
mod secrets;
mod sequences;
mod sockets;
mod spawn;
mod storms;
mod unknown_outcomes;
mod v2;
mod wire;
