//! Which endpoint a request is for.

use http::Method;

use crate::{form::Form, v2};

/// An endpoint with the ids of its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    CreateCustomer,
    RetrieveCustomer(String),
    UpdateCustomer(String),
    ListCustomers,
    DeleteCustomer(String),
    CreateIntent,
    RetrieveIntent(String),
    UpdateIntent(String),
    ConfirmIntent(String),
    CaptureIntent(String),
    CancelIntent(String),
    ListIntents,
    SearchIntents,
    SearchCustomers,
    RetrieveCharge(String),
    ListCharges,
    SearchCharges,
    CreateRefund,
    RetrieveRefund(String),
    ListRefunds,
    RetrieveEvent(String),
    ListEvents,
    CreateFile,
    RetrieveFile(String),
    V2(v2::Route),
}

impl Route {
    /// The endpoint of `method` and `path`, if the simulator has it.
    pub(crate) fn find(method: &Method, path: &str) -> Option<Self> {
        if let Some(rest) = path.strip_prefix("/v2/") {
            return v2::Route::find(method.as_str(), rest).map(Self::V2);
        }
        let segments: Vec<_> = path.strip_prefix("/v1/")?.split('/').collect();
        let id = |id: &str| (!id.is_empty()).then(|| id.to_owned());
        Some(match (method.as_str(), segments.as_slice()) {
            ("POST", ["customers"]) => Self::CreateCustomer,
            ("GET", ["customers"]) => Self::ListCustomers,
            ("GET", ["customers", "search"]) => Self::SearchCustomers,
            ("GET", ["customers", customer]) => Self::RetrieveCustomer(id(customer)?),
            ("POST", ["customers", customer]) => Self::UpdateCustomer(id(customer)?),
            ("DELETE", ["customers", customer]) => Self::DeleteCustomer(id(customer)?),
            ("POST", ["payment_intents"]) => Self::CreateIntent,
            ("GET", ["payment_intents"]) => Self::ListIntents,
            ("GET", ["payment_intents", "search"]) => Self::SearchIntents,
            ("GET", ["payment_intents", intent]) => Self::RetrieveIntent(id(intent)?),
            ("POST", ["payment_intents", intent]) => Self::UpdateIntent(id(intent)?),
            ("POST", ["payment_intents", intent, "confirm"]) => Self::ConfirmIntent(id(intent)?),
            ("POST", ["payment_intents", intent, "capture"]) => Self::CaptureIntent(id(intent)?),
            ("POST", ["payment_intents", intent, "cancel"]) => Self::CancelIntent(id(intent)?),
            ("GET", ["charges"]) => Self::ListCharges,
            ("GET", ["charges", "search"]) => Self::SearchCharges,
            ("GET", ["charges", charge]) => Self::RetrieveCharge(id(charge)?),
            ("POST", ["refunds"]) => Self::CreateRefund,
            ("GET", ["refunds"]) => Self::ListRefunds,
            ("GET", ["refunds", refund]) => Self::RetrieveRefund(id(refund)?),
            ("GET", ["events"]) => Self::ListEvents,
            ("GET", ["events", event]) => Self::RetrieveEvent(id(event)?),
            ("POST", ["files"]) => Self::CreateFile,
            ("GET", ["files", file]) => Self::RetrieveFile(id(file)?),
            _ => return None,
        })
    }

    /// The name that the endpoint's limits are counted under.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::CreateCustomer => "customers.create",
            Self::RetrieveCustomer(_) => "customers.retrieve",
            Self::UpdateCustomer(_) => "customers.update",
            Self::ListCustomers => "customers.list",
            Self::DeleteCustomer(_) => "customers.delete",
            Self::CreateIntent => "payment_intents.create",
            Self::RetrieveIntent(_) => "payment_intents.retrieve",
            Self::UpdateIntent(_) => "payment_intents.update",
            Self::ConfirmIntent(_) => "payment_intents.confirm",
            Self::ListIntents => "payment_intents.list",
            Self::SearchIntents => "payment_intents.search",
            Self::CaptureIntent(_) => "payment_intents.capture",
            Self::CancelIntent(_) => "payment_intents.cancel",
            Self::SearchCustomers => "customers.search",
            Self::RetrieveCharge(_) => "charges.retrieve",
            Self::ListCharges => "charges.list",
            Self::SearchCharges => "charges.search",
            Self::CreateRefund => "refunds.create",
            Self::RetrieveRefund(_) => "refunds.retrieve",
            Self::ListRefunds => "refunds.list",
            Self::RetrieveEvent(_) => "events.retrieve",
            Self::ListEvents => "events.list",
            Self::CreateFile => "files.create",
            Self::RetrieveFile(_) => "files.retrieve",
            Self::V2(route) => route.name(),
        }
    }

    /// The object that a request changes and thus locks. What is created has no lock to take.
    pub(crate) fn locked<'a>(&'a self, form: &'a Form) -> Option<&'a str> {
        match self {
            Self::UpdateCustomer(id) | Self::DeleteCustomer(id) => Some(id),
            Self::CreateRefund => form.get("payment_intent").or_else(|| form.get("charge")),
            Self::V2(route) => route.changed(),
            _ => self.updated_intent(),
        }
    }

    /// Whether it is a search, which has a limit of its own.
    pub(crate) fn is_search(&self) -> bool {
        matches!(self, Self::SearchIntents | Self::SearchCustomers | Self::SearchCharges)
    }

    /// The payment intent that a request updates.
    pub(crate) fn updated_intent(&self) -> Option<&str> {
        match self {
            Self::UpdateIntent(id)
            | Self::ConfirmIntent(id)
            | Self::CaptureIntent(id)
            | Self::CancelIntent(id) => Some(id),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_find_their_endpoint() {
        for (method, path, name) in [
            ("POST", "/v1/customers", Some("customers.create")),
            ("GET", "/v1/customers/cus_1", Some("customers.retrieve")),
            ("DELETE", "/v1/customers/cus_1", Some("customers.delete")),
            ("POST", "/v1/payment_intents/pi_1/confirm", Some("payment_intents.confirm")),
            ("GET", "/v1/payment_intents/search", Some("payment_intents.search")),
            ("POST", "/v1/payment_intents/pi_1", Some("payment_intents.update")),
            ("GET", "/v1/customers/", None),
            ("PUT", "/v1/customers", None),
            ("GET", "/v2/customers", None),
            ("POST", "/v2/core/accounts", Some("v2.core.accounts.create")),
            ("GET", "/v2/core/accounts/acct_1", Some("v2.core.accounts.retrieve")),
            ("GET", "/v2/core/accounts/", None),
            ("DELETE", "/v2/core/accounts/acct_1", None),
            ("DELETE", "/v2/core/event_destinations/ed_1", Some("v2.core.event_destinations.delete")),
            ("POST", "/v2/core/event_destinations/ed_1/ping", Some("v2.core.event_destinations.ping")),
            ("POST", "/v2/billing/meter_events", Some("v2.billing.meter_events.create")),
            ("GET", "/v2/billing/meter_events", None),
            ("POST", "/v1/payment_intents/pi_1/capture", Some("payment_intents.capture")),
            ("POST", "/v1/payment_intents/pi_1/refund", None),
            ("GET", "/v1/charges/search", Some("charges.search")),
            ("GET", "/v1/events/evt_1", Some("events.retrieve")),
            ("POST", "/v1/files", Some("files.create")),
        ] {
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            let route = Route::find(&method, path);
            assert_eq!(route.as_ref().map(Route::name), name, "{method} {path}");
        }
    }
}
