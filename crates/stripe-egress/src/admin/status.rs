//! How things stand, as values: the JSON is made of them, and so is the page.

use std::time::Instant;

use serde_json::{Value, json};
use tower_stripe::{
    Priority, breaker::State, governor::AccountSnapshot, telemetry::PendingCall, vocab::time::now,
};

use crate::{
    notes::{Counts, Note},
    shared::Shared,
};

/// How things stand.
pub(super) struct Status {
    pub(super) draining: bool,
    pub(super) upstreams: Vec<(&'static str, String)>,
    /// Each circuit that has been used, as `api/live/write` or `api/local`.
    pub(super) circuits: Vec<(String, State)>,
    pub(super) blocked_keys: usize,
    pub(super) accounts: Vec<AccountSnapshot>,
    /// What is left of it, from 0 to 1.
    pub(super) retry_budget: Option<f64>,
    pub(super) calls_under_way: usize,
    pub(super) payments_under_way: usize,
    pub(super) payments_abandoned: usize,
    pub(super) connections: usize,
    pub(super) max_connections: usize,
    pub(super) counts: Counts,
    /// Of which nobody knows yet, the oldest first.
    pub(super) pending: Vec<PendingCall>,
    pub(super) answered: Vec<Note>,
    pub(super) unanswered: Vec<Note>,
    pub(super) now: Instant,
}

pub(super) const PRIORITIES: [Priority; 3] = [Priority::Critical, Priority::Normal, Priority::Background];

impl Status {
    pub(super) fn of(shared: &Shared) -> Self {
        let (breaker, max_connections) = (shared.transport.breaker(), shared.settings.limits.max_connections);
        let partitions = breaker.states().map(|(partition, state)| (partition.to_string(), state));
        let local = breaker.local_states().map(|(host, state)| (format!("{host}/local"), state));
        Self {
            draining: shared.drains(),
            upstreams: shared
                .settings
                .upstreams
                .iter()
                .map(|(host, base)| (host.as_str(), base.to_string()))
                .collect(),
            circuits: partitions.chain(local).collect(),
            blocked_keys: shared.transport.auth_gate().blocked(),
            accounts: shared.transport.governor().snapshot(),
            retry_budget: shared.transport.retry_budget_left(),
            calls_under_way: shared.calls_under_way(),
            payments_under_way: shared.detach.in_flight(),
            payments_abandoned: shared.detach.abandoned(),
            connections: max_connections.saturating_sub(shared.room.available_permits()),
            max_connections,
            counts: shared.notes.counts(),
            pending: shared.transport.telemetry().pending(),
            answered: shared.notes.answered(),
            unanswered: shared.notes.unanswered(),
            now: now(),
        }
    }

    pub(super) fn json(&self) -> Value {
        let circuits =
            self.circuits.iter().map(|(name, state)| json!({ "circuit": name, "state": state.as_str() }));
        let upstreams: serde_json::Map<_, _> =
            self.upstreams.iter().map(|(host, base)| ((*host).to_owned(), json!(base))).collect();
        let Counts { calls, refused, unknown, gone } = self.counts;
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "ready": !self.draining,
            "upstreams": upstreams,
            "breaker": circuits.collect::<Vec<_>>(),
            "auth_gate": { "blocked_keys": self.blocked_keys },
            "governor": self.accounts.iter().map(account).collect::<Vec<_>>(),
            "retry_budget_left": self.retry_budget,
            "calls": {
                "total": calls,
                "under_way": self.calls_under_way,
                "refused": refused,
                "unknown": unknown,
                "callers_gone": gone,
            },
            "payments": { "under_way": self.payments_under_way, "abandoned": self.payments_abandoned },
            "connections": { "open": self.connections, "max": self.max_connections },
            "pending": self.pending.iter().map(pending).collect::<Vec<_>>(),
            "last_answered": self.answered.iter().map(|note| self.note(note)).collect::<Vec<_>>(),
            "last_unanswered": self.unanswered.iter().map(|note| self.note(note)).collect::<Vec<_>>(),
        })
    }

    fn note(&self, note: &Note) -> Value {
        json!({
            "operation": note.operation.name(),
            "status": note.status.map(|status| status.as_u16()),
            "code": note.code,
            "certainty": note.certainty.as_str(),
            "advice": note.advice.as_str(),
            "attempts": note.attempts,
            "request_id": note.request_id.as_ref().map(|id| id.as_str()),
            "seconds_ago": self.seconds_ago(note),
        })
    }

    pub(super) fn seconds_ago(&self, note: &Note) -> u64 {
        self.now.saturating_duration_since(note.ended).as_secs()
    }
}

fn pending(pending: &PendingCall) -> Value {
    json!({
        "operation": pending.operation().name(),
        "calls": pending.calls(),
        "seconds": pending.age().as_secs(),
    })
}

fn account(account: &AccountSnapshot) -> Value {
    let waiting: serde_json::Map<_, _> = PRIORITIES
        .into_iter()
        .map(|priority| (priority.as_str().to_owned(), json!(account.waiting(priority))))
        .collect();
    json!({
        "mode": account.mode().as_str(),
        "in_flight": account.in_flight(),
        "waiting": waiting,
        "calls_per_second": account.global_rate(),
    })
}
