//! The operation table: what a request is, by its method and path.
//!
//! # What
//!
//! An [`Operation`] is one entry of Stripe's API, such as `payment_intents.confirm`: a two-byte handle that knows its
//! name, [class](Class), [priority](Priority), [API version](ApiVersion), path template, host and default timeouts.
//! [`Operation::resolve`] finds it, without allocating, in a table of 670 operations that is compiled in.
//!
//! # Why
//!
//! Labels, limits, timeouts, probes and priorities all ask the same question of a request, and a path is no answer to
//! it: it holds ids, so it has no place in a label, and nothing in it says that `POST /v1/refunds` moves money. One
//! look-up answers for all of them, with names from a closed set.
//!
//! # When not
//!
//! * An operation says what *kind* of request this is, never whether Stripe accepts it: neither host, query nor body
//!   is looked at.
//! * The table does not gate anything. What it does not list is `other`, and is sent like the rest.
//!
//! # Example
//!
//! ```
//! use http::Method;
//! use tower_stripe::vocab::{Class, Operation, Priority};
//!
//! let confirm = Operation::resolve(&Method::POST, "/v1/payment_intents/pi_3PqR/confirm");
//! assert_eq!(confirm.name(), "payment_intents.confirm");
//! assert_eq!(confirm.class(), Class::Money);
//! assert_eq!(confirm.priority(), Priority::Critical);
//! assert_eq!(confirm.template(), "/v1/payment_intents/{intent}/confirm");
//! assert_eq!(Operation::new("payment_intents.confirm"), Some(confirm));
//!
//! // Unknown to the table: handled with care, and its path goes nowhere.
//! let unknown = Operation::resolve(&Method::POST, "/v1/novelties/nov_123");
//! assert_eq!(unknown.name(), "other");
//! assert!(unknown.is_money());
//! ```
//!
//! # What matches
//!
//! The path is taken as it is in the URI: undecoded, without the query, from the slash it begins with. It is compared
//! segment by segment, and by bytes.
//!
//! * A literal wins over a parameter: `GET /v1/customers/search` is the search. This holds among operations of one
//!   method only: `POST /v1/customers/search` updates a customer whose id is `search`.
//! * A parameter takes any one segment that is not empty. `a%2Fb` is one segment; an encoded literal (`/v1/%63harges`)
//!   is not the literal.
//! * An empty segment matches nothing, and so neither does a trailing slash. Stripe's SDKs never send one, so
//!   `POST /v1/customers/` is most likely an update whose id got lost.
//! * `GET`, `POST` and `DELETE` are the only methods of Stripe's API. `HEAD` is not taken for `GET`.
//!
//! # Other
//!
//! Whatever the table does not list is named `other`, with priority `Normal` and the host `api.stripe.com`. Its version
//! is that of its path, `/v1` or `/v2`. Its class is a careful guess: what is not known to be harmless may move money.
//!
//! | method | class |
//! |---|---|
//! | `GET` | `read` |
//! | `DELETE`, except below `/v2` | `write` |
//! | `POST`, `DELETE` below `/v2`, any other | `money` |
//!
//! Two of them are equal if they agree in version and class.
//!
//! # Defaults
//!
//! | operations | attempt timeout | deadline |
//! |---|---|---|
//! | class `upload` | 120 s | 300 s |
//! | lists, and class `search` | 45 s | 75 s |
//! | other operations of class `read` | 20 s | 75 s |
//! | all others | 30 s | 75 s |
//!
//! # Source
//!
//! Methods, paths and hosts are those of Stripe's published OpenAPI description and SDK sources, state of 2026-11. They
//! are in `routes.tsv`, with the names, tiers and classes that we gave them; `table.rs` is generated from it (see
//! `generate.rs`).

mod class;
mod entry;
mod matcher;
// Generated: one row per line, whatever its width.
#[rustfmt::skip]
mod table;

#[cfg(test)]
mod generate;
#[cfg(test)]
mod tests;

pub use class::{ApiVersion, Class, Priority};
pub use entry::Operation;
