//! A span for each attempt: the HTTP exchange, without the wait for its turn.

mod future;
mod layer;
mod service;

pub use self::{future::ResponseFuture, layer::AttemptSpanLayer, service::AttemptSpan};
