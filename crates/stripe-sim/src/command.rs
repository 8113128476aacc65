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
    ConfirmIntent(String, Confirmation),
    CaptureIntent(String, Option<u64>),
    CancelIntent(String, Option<String>),
    ListIntents(Page, Filter),
    SearchIntents(Search),
    SearchCustomers(Search),
    RetrieveCharge(String),
    ListCharges(Page, Filter),
    SearchCharges(Search),
    CreateRefund(NewRefund),
    RetrieveRefund(String),
    ListRefunds(Page, Filter),
    RetrieveEvent(String),
    ListEvents(Page, Option<String>),
    CreateFile(NewFile),
    RetrieveFile(String),
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
    pub(crate) manual_capture: bool,
    pub(crate) off_session: bool,
    pub(crate) return_url: Option<String>,
    pub(crate) fields: IntentFields,
}

/// How a payment intent is confirmed.
#[derive(Clone, Debug)]
pub(crate) struct Confirmation {
    pub(crate) method: Option<Method>,
    /// The customer is not there to authenticate.
    pub(crate) off_session: bool,
    pub(crate) return_url: Option<String>,
}

/// A refund to be.
#[derive(Clone, Debug)]
pub(crate) struct NewRefund {
    pub(crate) charge: Option<String>,
    pub(crate) intent: Option<String>,
    pub(crate) amount: Option<u64>,
    pub(crate) reason: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
}

/// A file to be.
#[derive(Clone, Debug)]
pub(crate) struct NewFile {
    pub(crate) purpose: String,
    pub(crate) filename: String,
    pub(crate) size: u64,
}

/// What the objects of a list have to belong to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    customer: Option<String>,
    intent: Option<String>,
    charge: Option<String>,
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
            Route::ConfirmIntent(id) => Self::ConfirmIntent(id, Confirmation::read(form)?),
            Route::CaptureIntent(id) => Self::CaptureIntent(id, amount(form, "amount_to_capture")?),
            Route::CancelIntent(id) => Self::CancelIntent(id, text(form, "cancellation_reason")),
            Route::ListIntents => Self::ListIntents(Page::read(query)?, Filter::read(query)),
            Route::SearchIntents => Self::SearchIntents(Search::read(query)?),
            Route::SearchCustomers => Self::SearchCustomers(Search::read(query)?),
            Route::RetrieveCharge(id) => Self::RetrieveCharge(id),
            Route::ListCharges => Self::ListCharges(Page::read(query)?, Filter::read(query)),
            Route::SearchCharges => Self::SearchCharges(Search::read(query)?),
            Route::CreateRefund => Self::CreateRefund(NewRefund::read(form)?),
            Route::RetrieveRefund(id) => Self::RetrieveRefund(id),
            Route::ListRefunds => Self::ListRefunds(Page::read(query)?, Filter::read(query)),
            Route::RetrieveEvent(id) => Self::RetrieveEvent(id),
            Route::ListEvents => Self::ListEvents(Page::read(query)?, text(query, "type")),
            Route::CreateFile => Self::CreateFile(NewFile::read(form)?),
            Route::RetrieveFile(id) => Self::RetrieveFile(id),
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
        required(form, "amount")?;
        let amount = amount(form, "amount")?.unwrap_or_default();
        let currency = required(form, "currency")?.to_ascii_lowercase();
        if currency.len() != 3 || !currency.bytes().all(|letter| letter.is_ascii_lowercase()) {
            return Err(ApiError::bad_parameter("currency", "a code of three letters"));
        }
        let confirm = flag(form, "confirm")?;
        let method = Method::read(form)?;
        if confirm && method.is_none() {
            return Err(ApiError::missing_parameter("payment_method"));
        }
        let manual_capture = match form.get("capture_method") {
            None | Some("automatic" | "automatic_async") => false,
            Some("manual") => true,
            Some(_) => {
                return Err(ApiError::bad_parameter(
                    "capture_method",
                    "automatic, automatic_async or manual",
                ));
            }
        };
        Ok(Self {
            amount,
            currency,
            customer: text(form, "customer"),
            method,
            confirm,
            manual_capture,
            off_session: flag(form, "off_session")?,
            return_url: text(form, "return_url"),
            fields: IntentFields::read(form),
        })
    }
}

impl Confirmation {
    fn read(form: &Form) -> Result<Self, ApiError> {
        let (method, off_session) = (Method::read(form)?, flag(form, "off_session")?);
        Ok(Self { method, off_session, return_url: text(form, "return_url") })
    }
}

impl NewRefund {
    fn read(form: &Form) -> Result<Self, ApiError> {
        let (charge, intent) = (text(form, "charge"), text(form, "payment_intent"));
        if charge.is_none() && intent.is_none() {
            return Err(ApiError::missing_parameter("payment_intent"));
        }
        let (amount, reason) = (amount(form, "amount")?, text(form, "reason"));
        Ok(Self { charge, intent, amount, reason, metadata: metadata(form) })
    }
}

impl NewFile {
    fn read(form: &Form) -> Result<Self, ApiError> {
        let (purpose, filename) = (required(form, "purpose")?, required(form, "file")?);
        let size = form.get("file[size]").and_then(|size| size.parse().ok());
        let size =
            size.ok_or_else(|| ApiError::bad_parameter("file", "a file, in a body of multipart/form-data"))?;
        Ok(Self { purpose: purpose.to_owned(), filename: filename.to_owned(), size })
    }
}

impl Filter {
    fn read(query: &Form) -> Self {
        let (customer, intent) = (text(query, "customer"), text(query, "payment_intent"));
        Self { customer, intent, charge: text(query, "charge") }
    }

    /// Whether an object that belongs to these is wanted.
    pub(crate) fn wants(&self, customer: Option<&str>, intent: Option<&str>, charge: Option<&str>) -> bool {
        let fits = |wanted: &Option<String>, is: Option<&str>| wanted.is_none() || wanted.as_deref() == is;
        fits(&self.customer, customer) && fits(&self.intent, intent) && fits(&self.charge, charge)
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

fn text(form: &Form, name: &str) -> Option<String> {
    form.get(name).map(str::to_owned)
}

fn flag(form: &Form, name: &str) -> Result<bool, ApiError> {
    match form.get(name) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(ApiError::bad_parameter(name, "true or false")),
    }
}

fn amount(form: &Form, name: &str) -> Result<Option<u64>, ApiError> {
    match form.get(name).map(str::parse) {
        None => Ok(None),
        Some(Ok(amount @ 1..=99_999_999)) => Ok(Some(amount)),
        Some(_) => Err(ApiError::not_an_integer(name, "an integer from 1 to 99999999")),
    }
}

fn metadata(form: &Form) -> BTreeMap<String, String> {
    form.members("metadata").map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
