//! Customers and payment intents: their state, and how they are written as JSON.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    api_error::ApiError,
    card::{Decline, Verdict},
    chance::Ids,
    command::{CUSTOMER_TEXTS, CustomerFields, IntentFields, Method, NewIntent},
};

/// A customer.
#[derive(Clone, Debug)]
pub(crate) struct Customer {
    pub(crate) id: String,
    pub(crate) created: u64,
    pub(crate) deleted: bool,
    livemode: bool,
    fields: CustomerFields,
}

impl Customer {
    pub(crate) fn new(id: String, created: u64, livemode: bool, fields: CustomerFields) -> Self {
        let blank = Self { id, created, deleted: false, livemode, fields: CustomerFields::default() };
        blank.updated(fields)
    }

    /// The customer with `fields` set; an empty value unsets.
    pub(crate) fn updated(mut self, fields: CustomerFields) -> Self {
        for (name, value) in fields.texts {
            self.fields.texts.insert(name, value);
        }
        self.fields.texts.retain(|_, value| !value.is_empty());
        merge(&mut self.fields.metadata, fields.metadata);
        self
    }

    /// What stays of the customer after it was deleted.
    pub(crate) fn gone(self) -> Self {
        Self { deleted: true, ..self }
    }

    pub(crate) fn json(&self) -> Value {
        if self.deleted {
            return json!({ "id": self.id, "object": "customer", "deleted": true });
        }
        let mut json = json!({
            "id": self.id,
            "object": "customer",
            "balance": 0,
            "created": self.created,
            "livemode": self.livemode,
            "metadata": self.fields.metadata,
        });
        for name in CUSTOMER_TEXTS {
            json[name] = self.fields.texts.get(name).map_or(Value::Null, |value| Value::from(value.as_str()));
        }
        json
    }
}

/// A payment intent.
#[derive(Clone, Debug)]
pub(crate) struct PaymentIntent {
    pub(crate) id: String,
    pub(crate) created: u64,
    pub(crate) customer: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    livemode: bool,
    amount: u64,
    currency: String,
    description: Option<String>,
    method: Option<(String, Verdict)>,
    charge: Option<String>,
    status: Status,
    decline: Option<Decline>,
}

/// The part of a payment intent's life cycle that is simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    NeedsMethod,
    NeedsConfirmation,
    Succeeded,
}

impl Status {
    fn as_str(self) -> &'static str {
        match self {
            Self::NeedsMethod => "requires_payment_method",
            Self::NeedsConfirmation => "requires_confirmation",
            Self::Succeeded => "succeeded",
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
            livemode,
            amount: new.amount,
            currency: new.currency,
            description: None,
            method: None,
            charge: None,
            status: Status::NeedsMethod,
            decline: None,
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

    /// Charges the card. `Ok` says whether it was declined; an error means that nothing was tried.
    pub(crate) fn confirm(
        &mut self,
        method: Option<Method>,
        ids: &mut Ids,
    ) -> Result<Option<ApiError>, ApiError> {
        if self.status == Status::Succeeded {
            return Err(self.refuses_confirmation());
        }
        if let Some(method) = method {
            self.attach(method, ids);
        }
        let Some((_, verdict)) = self.method else {
            return Err(self.refuses_confirmation());
        };
        let charge = ids.object("ch");
        self.charge = Some(charge.clone());
        match verdict {
            Verdict::Approved => {
                self.status = Status::Succeeded;
                self.decline = None;
                Ok(None)
            }
            Verdict::Declined(decline) => {
                self.status = Status::NeedsMethod;
                self.decline = Some(decline);
                self.method = None;
                let error = card_error(decline).with("charge", charge).with("payment_intent", self.json());
                Ok(Some(error))
            }
        }
    }

    fn refuses_confirmation(&self) -> ApiError {
        ApiError::unexpected_state("confirmed", self.status.as_str()).with("payment_intent", self.json())
    }

    pub(crate) fn json(&self) -> Value {
        let received = if self.status == Status::Succeeded { self.amount } else { 0 };
        json!({
            "id": self.id,
            "object": "payment_intent",
            "amount": self.amount,
            "amount_received": received,
            "client_secret": format!("{}_secret_sim", self.id),
            "created": self.created,
            "currency": self.currency,
            "customer": self.customer,
            "description": self.description,
            "last_payment_error": self.decline.map(|decline| card_error(decline).body()["error"].take()),
            "latest_charge": self.charge,
            "livemode": self.livemode,
            "metadata": self.metadata,
            "payment_method": self.method.as_ref().map(|(id, _)| id),
            "payment_method_types": ["card"],
            "status": self.status.as_str(),
        })
    }
}

fn card_error(decline: Decline) -> ApiError {
    let error = ApiError::declined(decline.code, decline.message).with("advice_code", decline.advice_code);
    match decline.decline_code {
        Some(code) => error.with("decline_code", code),
        None => error,
    }
}

fn merge(into: &mut BTreeMap<String, String>, from: BTreeMap<String, String>) {
    into.extend(from);
    into.retain(|_, value| !value.is_empty());
}
