//! The v1 objects: their state, and how they are written as JSON.

use std::collections::BTreeMap;

mod charge;
mod customer;
mod event;
mod file;
mod intent;
mod refund;

pub(crate) use charge::Charge;
pub(crate) use customer::Customer;
pub(crate) use event::{Cause, Event};
pub(crate) use file::File;
pub(crate) use intent::{Confirmed, PaymentIntent};
pub(crate) use refund::Refund;

/// Sets what `from` has; an empty value unsets.
fn merge(into: &mut BTreeMap<String, String>, from: BTreeMap<String, String>) {
    into.extend(from);
    into.retain(|_, value| !value.is_empty());
}
