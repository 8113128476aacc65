//! The calls that a shop makes.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use tower_stripe::{IdempotencyKey, Priority, Report, ReportHandle};

use crate::settings::Stripe;

/// A call that is not sent yet.
pub(crate) struct Call {
    stripe: Stripe,
    request: http::request::Builder,
    body: String,
}

/// What a call came to, and what to drive it again with.
pub(crate) struct Payment {
    pub(crate) order: String,
    pub(crate) report: Report,
}

/// What the payment of an order says, each time it is made.
pub(crate) fn payment_form(order: &str, card: &str) -> String {
    format!("amount=1099&currency=eur&confirm=true&payment_method={card}&metadata[order]={order}")
}

/// One that comes out the same whenever it is asked for.
pub(crate) fn payment_key(order: &str) -> IdempotencyKey {
    IdempotencyKey::derive("dashboard", &[order])
}

impl Call {
    /// `order` is what the simulator's scripts and its ledger know the call by.
    pub(crate) fn new(stripe: &Stripe, api_key: &str, method: &str, url: String, order: &str) -> Self {
        let request = Request::builder()
            .method(method)
            .uri(url)
            .header("authorization", format!("Bearer {api_key}"))
            .header("x-sim-order", order);
        Self { stripe: stripe.clone(), request, body: String::new() }
    }

    /// A payment under the key that belongs to its order.
    pub(crate) fn payment(stripe: &Stripe, api_key: &str, base: &str, order: &str) -> Self {
        Self::new(stripe, api_key, "POST", format!("{base}/v1/payment_intents"), order)
            .form(payment_form(order, "pm_card_visa"))
            .key(payment_key(order))
    }

    pub(crate) fn form(mut self, form: impl Into<String>) -> Self {
        self.request = self.request.header("content-type", "application/x-www-form-urlencoded");
        self.body = form.into();
        self
    }

    pub(crate) fn json(mut self, json: impl Into<String>) -> Self {
        self.request = self.request.header("content-type", "application/json");
        self.body = json.into();
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    pub(crate) fn key(mut self, key: IdempotencyKey) -> Self {
        self.request = self.request.extension(key);
        self
    }

    pub(crate) fn priority(mut self, priority: Priority) -> Self {
        self.request = self.request.extension(priority);
        self
    }

    /// Whatever comes of it stands in the report. An error is a mistake of this program.
    pub(crate) async fn send(self) -> Result<Report, http::Error> {
        let handle = ReportHandle::new();
        let request = self.request.extension(handle.clone()).body(Full::new(Bytes::from(self.body)))?;
        if let Ok(response) = self.stripe.send(request).await {
            // A body that breaks off changes nothing about the call: its head has said what it came to.
            let _ = response.into_body().collect().await;
        }
        Ok(handle.report())
    }
}
