//! Charges: what a confirmation made of a card.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::card::Decline;

/// A charge.
#[derive(Clone, Debug)]
pub(crate) struct Charge {
    pub(crate) id: String,
    pub(crate) created: u64,
    pub(crate) intent: String,
    pub(crate) customer: Option<String>,
    pub(crate) currency: String,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) livemode: bool,
    pub(crate) amount: u64,
    pub(crate) captured: u64,
    pub(crate) refunded: u64,
    /// Still only authorised.
    pub(crate) held: bool,
    /// An authorisation that was given back.
    pub(crate) released: bool,
    pub(crate) method: String,
    pub(crate) decline: Option<Decline>,
}

impl Charge {
    /// What is left to be refunded; `None` if nothing was ever taken.
    pub(crate) fn refundable(&self) -> Option<u64> {
        (self.decline.is_none() && !self.held && !self.released).then(|| self.captured - self.refunded)
    }

    pub(crate) fn json(&self) -> Value {
        let status = if self.decline.is_some() { "failed" } else { "succeeded" };
        json!({
            "id": self.id,
            "object": "charge",
            "amount": self.amount,
            "amount_captured": self.captured,
            "amount_refunded": if self.released { self.amount } else { self.refunded },
            "captured": self.decline.is_none() && !self.held && !self.released,
            "created": self.created,
            "currency": self.currency,
            "customer": self.customer,
            "failure_code": self.decline.map(|decline| decline.code),
            "failure_message": self.decline.map(|decline| decline.message),
            "livemode": self.livemode,
            "metadata": self.metadata,
            "outcome": self.decline.map(|decline| json!({
                "type": "issuer_declined",
                "reason": decline.decline_code,
                "advice_code": decline.advice_code,
                "network_decline_code": decline.network_code,
            })),
            "paid": self.decline.is_none(),
            "payment_intent": self.intent,
            "payment_method": self.method,
            "refunded": self.released || (self.captured > 0 && self.refunded == self.captured),
            "status": status,
        })
    }
}
