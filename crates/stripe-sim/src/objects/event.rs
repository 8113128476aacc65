//! Events: the trace that every change leaves.

use serde_json::{Value, json};

use crate::answer::DEFAULT_VERSION;

/// The request that something happened because of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cause {
    pub(crate) request: Option<String>,
    pub(crate) key: Option<String>,
}

/// An event.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) created: u64,
    pub(crate) kind: &'static str,
    pub(crate) livemode: bool,
    /// The object as it was right after the change.
    pub(crate) object: Value,
    pub(crate) cause: Cause,
}

impl Event {
    pub(crate) fn json(&self) -> Value {
        json!({
            "id": self.id,
            "object": "event",
            "api_version": DEFAULT_VERSION,
            "created": self.created,
            "data": { "object": self.object },
            "livemode": self.livemode,
            "pending_webhooks": 0,
            "request": { "id": self.cause.request, "idempotency_key": self.cause.key },
            "type": self.kind,
        })
    }
}
