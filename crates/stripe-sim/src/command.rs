//! What a request asks for, once its parameters are known to be well formed.
//!
//! Whatever is refused here is refused by looking at the request alone: nothing has executed, and nothing is stored for
//! its key. Parameters that the simulator has no use for are accepted and ignored.

use std::collections::BTreeMap;

use crate::{
    api_error::ApiError,
    card::{self, Verdict},
    form::Form,
    page::{Page, Search},
    request::Received,
    route::Route,
    v2,
};

/// A well-formed request.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    CreateCustomer(CustomerFields),
    RetrieveCustomer(String),
    UpdateCustomer(String, CustomerFields),
    ListCustomers(Page),
    DeleteCustomer(String),
    CreateIntent(NewIntent),
    RetrieveIntent(String),
    UpdateIntent(String, IntentFields),
    ConfirmIntent(String, Option<Method>),
    ListIntents(Page, Option<String>),
    SearchIntents(Search),
    V2(v2::Command),
}

/// The fields of a customer that a request sets. An empty value unsets one.
#[derive(Clone, Debug, Default)]
pub(crate) struct CustomerFields {
    pub(crate) texts: BTreeMap<&'static str, String>,
    pub(crate) metadata: BTreeMap<String, String>,
}

/// The fields of a payment intent that can be set at any time.
#[derive(Clone, Debug, Default)]
pub(crate) struct IntentFields {
    pub(crate) description: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
}

/// A payment intent to be.
#[derive(Clone, Debug)]
pub(crate) struct NewIntent {
    pub(crate) amount: u64,
    pub(crate) currency: String,
    pub(crate) customer: Option<String>,
    pub(crate) method: Option<Method>,
    pub(crate) confirm: bool,
    pub(crate) fields: IntentFields,
}

/// What is to be charged.
#[derive(Clone, Debug)]
pub(crate) struct Method {
    /// The id it was named by; a card given by number gets one when it is used.
    pub(crate) id: Option<String>,
    pub(crate) verdict: Verdict,
}

pub(crate) const CUSTOMER_TEXTS: [&str; 4] = ["description", "email", "name", "phone"];

impl Command {
    pub(crate) fn read(route: Route, request: &Received) -> Result<Self, ApiError> {
        if request.unreadable {
            return Err(ApiError::not_a_form());
        }
        let (form, query) = (&request.form, &request.head.query);
        Ok(match route {
            Route::CreateCustomer => Self::CreateCustomer(CustomerFields::read(form)),
            Route::RetrieveCustomer(id) => Self::RetrieveCustomer(id),
            Route::UpdateCustomer(id) => Self::UpdateCustomer(id, CustomerFields::read(form)),
            Route::ListCustomers => Self::ListCustomers(Page::read(query)?),
            Route::DeleteCustomer(id) => Self::DeleteCustomer(id),
            Route::CreateIntent => Self::CreateIntent(NewIntent::read(form)?),
            Route::RetrieveIntent(id) => Self::RetrieveIntent(id),
            Route::UpdateIntent(id) => Self::UpdateIntent(id, IntentFields::read(form)),
            Route::ConfirmIntent(id) => Self::ConfirmIntent(id, Method::read(form)?),
            Route::ListIntents => {
                Self::ListIntents(Page::read(query)?, query.get("customer").map(str::to_owned))
            }
            Route::SearchIntents => Self::SearchIntents(Search::read(query)?),
            Route::V2(route) => Self::V2(v2::Command::read(route, query, request.json.as_ref())?),
        })
    }
}

impl CustomerFields {
    fn read(form: &Form) -> Self {
        let text = |name| form.get(name).map(|value| (name, value.to_owned()));
        Self { texts: CUSTOMER_TEXTS.into_iter().filter_map(text).collect(), metadata: metadata(form) }
    }
}

impl IntentFields {
    fn read(form: &Form) -> Self {
        Self { description: form.get("description").map(str::to_owned), metadata: metadata(form) }
    }
}

impl NewIntent {
    fn read(form: &Form) -> Result<Self, ApiError> {
        let amount = match required(form, "amount")?.parse() {
            Ok(amount @ 1..=99_999_999) => amount,
            _ => {
                return Err(ApiError::not_an_integer("amount", "an integer from 1 to 99999999"));
            }
        };
        let currency = required(form, "currency")?.to_ascii_lowercase();
        if currency.len() != 3 || !currency.bytes().all(|letter| letter.is_ascii_lowercase()) {
            return Err(ApiError::bad_parameter("currency", "a code of three letters"));
        }
        let confirm = match form.get("confirm") {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(ApiError::bad_parameter("confirm", "true or false")),
        };
        let method = Method::read(form)?;
        if confirm && method.is_none() {
            return Err(ApiError::missing_parameter("payment_method"));
        }
        let customer = form.get("customer").map(str::to_owned);
        Ok(Self { amount, currency, customer, method, confirm, fields: IntentFields::read(form) })
    }
}

impl Method {
    fn read(form: &Form) -> Result<Option<Self>, ApiError> {
        if let Some(name) = form.get("payment_method") {
            let verdict = card::by_name(name)
                .ok_or_else(|| ApiError::missing_reference("payment method", name, "payment_method"))?;
            return Ok(Some(Self { id: Some(name.to_owned()), verdict }));
        }
        let number = form.get("payment_method_data[card][number]");
        Ok(number.map(|number| Self { id: None, verdict: card::by_number(number) }))
    }
}

fn required<'a>(form: &'a Form, name: &str) -> Result<&'a str, ApiError> {
    match form.get(name) {
        None => Err(ApiError::missing_parameter(name)),
        Some("") => Err(ApiError::empty_parameter(name)),
        Some(value) => Ok(value),
    }
}

fn metadata(form: &Form) -> BTreeMap<String, String> {
    form.members("metadata").map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
