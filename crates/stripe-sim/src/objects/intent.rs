//! Payment intents.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Charge, merge};
use crate::{
    api_error::ApiError,
    card::{self, Decline, Verdict},
    chance::Ids,
    command::{Confirmation, IntentFields, Method, NewIntent},
};

/// A payment intent.
#[derive(Clone, Debug)]
pub(crate) struct PaymentIntent {
    pub(crate) id: String,
    pub(crate) created: u64,
    pub(crate) customer: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    /// The last charge that was tried.
    pub(crate) charge: Option<String>,
    livemode: bool,
    amount: u64,
    received: u64,
    currency: String,
    description: Option<String>,
    method: Option<(String, Verdict)>,
    manual: bool,
    return_url: Option<String>,
    status: Status,
    failure: Option<ApiError>,
    cancellation_reason: Option<String>,
}

/// The part of a payment intent's life cycle that is simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    NeedsMethod,
    NeedsConfirmation,
    NeedsAction,
    NeedsCapture,
    Succeeded,
    Canceled,
}

/// What a confirmation came to.
#[derive(Debug)]
pub(crate) enum Confirmed {
    Charged(Charge),
    Declined(ApiError, Charge),
    /// The customer has to authenticate first.
    NeedsAction,
    /// The customer is not there to authenticate.
    Absent(ApiError),
}

impl Status {
    fn as_str(self) -> &'static str {
        match self {
            Self::NeedsMethod => "requires_payment_method",
            Self::NeedsConfirmation => "requires_confirmation",
            Self::NeedsAction => "requires_action",
            Self::NeedsCapture => "requires_capture",
            Self::Succeeded => "succeeded",
            Self::Canceled => "canceled",
        }
    }
}

impl PaymentIntent {
    pub(crate) fn new(new: NewIntent, created: u64, livemode: bool, ids: &mut Ids) -> Self {
        let mut intent = Self {
            id: ids.object("pi"),
            created,
            customer: new.customer,
            metadata: BTreeMap::new(),
            charge: None,
            livemode,
            amount: new.amount,
            received: 0,
            currency: new.currency,
            description: None,
            method: None,
            manual: new.manual_capture,
            return_url: None,
            status: Status::NeedsMethod,
            failure: None,
            cancellation_reason: None,
        };
        if let Some(method) = new.method {
            intent.attach(method, ids);
        }
        intent.updated(new.fields)
    }

    /// The intent with `fields` set; an empty value unsets.
    pub(crate) fn updated(mut self, fields: IntentFields) -> Self {
        if let Some(description) = fields.description {
            self.description = Some(description).filter(|text| !text.is_empty());
        }
        merge(&mut self.metadata, fields.metadata);
        self
    }

    fn attach(&mut self, method: Method, ids: &mut Ids) {
        self.method = Some((method.id.unwrap_or_else(|| ids.object("pm")), method.verdict));
        self.status = Status::NeedsConfirmation;
    }

    /// Charges the card. An error means that nothing was tried.
    pub(crate) fn confirm(
        &mut self,
        confirmation: Confirmation,
        now: u64,
        ids: &mut Ids,
    ) -> Result<Confirmed, ApiError> {
        use Status::{NeedsAction, NeedsConfirmation, NeedsMethod};
        if !matches!(self.status, NeedsMethod | NeedsConfirmation | NeedsAction) {
            return Err(self.refuses("confirmed"));
        }
        if let Some(method) = confirmation.method {
            self.attach(method, ids);
        }
        self.return_url = confirmation.return_url;
        let Some((_, verdict)) = self.method else {
            return Err(self.refuses("confirmed"));
        };
        match verdict {
            Verdict::Approved => Ok(self.charged(None, now, ids)),
            Verdict::Declined(decline) => Ok(self.charged(Some(decline), now, ids)),
            Verdict::Authenticate { .. } if confirmation.off_session => {
                let error = ApiError::card(&card::AUTHENTICATION);
                Ok(Confirmed::Absent(self.failed(error)))
            }
            Verdict::Authenticate { .. } => {
                self.status = NeedsAction;
                Ok(Confirmed::NeedsAction)
            }
        }
    }

    /// The customer did what was asked for, or failed to; `None` if nothing is asked for.
    pub(crate) fn authenticated(&mut self, passed: bool, now: u64, ids: &mut Ids) -> Option<Confirmed> {
        if self.status != Status::NeedsAction {
            return None;
        }
        match self.method {
            Some((_, Verdict::Authenticate { then })) if passed => Some(self.charged(then, now, ids)),
            _ => Some(Confirmed::Absent(self.failed(ApiError::authentication_failed()))),
        }
    }

    fn charged(&mut self, decline: Option<Decline>, now: u64, ids: &mut Ids) -> Confirmed {
        let held = decline.is_none() && self.manual;
        let taken = if decline.is_some() || held { 0 } else { self.amount };
        let charge = Charge {
            id: ids.object("ch"),
            created: now,
            intent: self.id.clone(),
            customer: self.customer.clone(),
            currency: self.currency.clone(),
            metadata: self.metadata.clone(),
            livemode: self.livemode,
            amount: self.amount,
            captured: taken,
            refunded: 0,
            held,
            released: false,
            method: self.method.as_ref().map(|(id, _)| id.clone()).unwrap_or_default(),
            decline,
        };
        self.charge = Some(charge.id.clone());
        self.received = taken;
        match decline {
            None => {
                self.status = if held { Status::NeedsCapture } else { Status::Succeeded };
                self.failure = None;
                Confirmed::Charged(charge)
            }
            Some(decline) => {
                let error = ApiError::card(&decline).with("charge", charge.id.as_str());
                Confirmed::Declined(self.failed(error), charge)
            }
        }
    }

    /// Notes a failed payment, and completes its error.
    fn failed(&mut self, error: ApiError) -> ApiError {
        self.status = Status::NeedsMethod;
        self.method = None;
        self.failure = Some(error.clone());
        error.with("payment_intent", self.json())
    }

    /// Takes `amount` of what was authorised, or all of it, and gives the rest back.
    pub(crate) fn capture(&mut self, charge: &mut Charge, amount: Option<u64>) -> Result<(), ApiError> {
        if self.status != Status::NeedsCapture {
            return Err(self.refuses("captured"));
        }
        let amount = amount.unwrap_or(self.amount);
        if amount > self.amount {
            let rule = "no more than what was authorised";
            return Err(ApiError::bad_parameter("amount_to_capture", rule).code("amount_too_large"));
        }
        self.status = Status::Succeeded;
        self.received = amount;
        charge.held = false;
        charge.captured = amount;
        Ok(())
    }

    /// Gives up. Returns whether there was an authorisation to give back.
    pub(crate) fn cancel(&mut self, reason: Option<String>) -> Result<bool, ApiError> {
        let held = self.status == Status::NeedsCapture;
        if matches!(self.status, Status::Succeeded | Status::Canceled) {
            return Err(self.refuses("canceled"));
        }
        self.status = Status::Canceled;
        self.cancellation_reason = reason;
        Ok(held)
    }

    pub(crate) fn refuses(&self, doing: &str) -> ApiError {
        ApiError::unexpected_state(doing, self.status.as_str()).with("payment_intent", self.json())
    }

    pub(crate) fn json(&self) -> Value {
        let next_action = (self.status == Status::NeedsAction).then(|| match &self.return_url {
            Some(url) => json!({ "type": "redirect_to_url", "redirect_to_url": {
                "return_url": url, "url": format!("https://hooks.stripe.com/sim/{}", self.id),
            } }),
            None => {
                json!({ "type": "use_stripe_sdk", "use_stripe_sdk": { "type": "three_d_secure_redirect" } })
            }
        });
        let capturable = if self.status == Status::NeedsCapture { self.amount } else { 0 };
        json!({
            "id": self.id,
            "object": "payment_intent",
            "amount": self.amount,
            "amount_capturable": capturable,
            "amount_received": self.received,
            "cancellation_reason": self.cancellation_reason,
            "capture_method": if self.manual { "manual" } else { "automatic" },
            // Always there at Stripe, and clients with types of their own insist on it.
            "confirmation_method": "automatic",
            "client_secret": format!("{}_secret_sim", self.id),
            "created": self.created,
            "currency": self.currency,
            "customer": self.customer,
            "description": self.description,
            "last_payment_error": self.failure.as_ref().map(|error| error.body()["error"].take()),
            "latest_charge": self.charge,
            "livemode": self.livemode,
            "metadata": self.metadata,
            "next_action": next_action,
            "payment_method": self.method.as_ref().map(|(id, _)| id),
            "payment_method_types": ["card"],
            "status": self.status.as_str(),
        })
    }
}
