//! What the crate promises, shown on what the other side saw: one file for each promise.

mod support;

mod unknown_outcomes;
