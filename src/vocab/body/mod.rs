//! Bodies: of requests, as far as they can be sent again; of responses, as they are handed on.

mod replay;
mod stripe_body;

pub use replay::{Cloneable, Replay, SendOnce, content_of};
pub use stripe_body::{BodyError, StripeBody, Tail};

#[cfg(test)]
mod tests;
