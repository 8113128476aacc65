//! What the sidecar promises, shown on what the other side saw: one file for each promise.

mod support;

mod admin;
mod cli;
mod draining;
mod faults;
mod forwarding;
mod held_key;
mod refusals;
mod reloading;
mod survival;
mod transparency;
