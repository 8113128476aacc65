//! A span for each attempt: the HTTP exchange, without the wait for its turn.

mod future;
mod layer;
mod service;

pub(crate) use self::future::ResponseFuture;
pub use self::{layer::AttemptSpanLayer, service::AttemptSpan};
