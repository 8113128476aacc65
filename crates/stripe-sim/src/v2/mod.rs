//! The part of the API under `/v2/`: JSON bodies, another error envelope, and keys that work differently.

mod command;
mod keys;
mod objects;
mod route;

pub(crate) use command::Command;
pub(crate) use keys::{Begin, KeyStore};
pub(crate) use objects::{Object, Objects, Subject};
pub(crate) use route::Route;
