//! What a v2 request asks for, once its parameters are known to be well formed.

use serde_json::{Map, Value};

use super::route::{Action, Kind, Route};
use crate::{api_error::ApiError, form::Form};

/// A well-formed request.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    Create(Kind, Map<String, Value>),
    Retrieve(Kind, String),
    Update(Kind, String, Map<String, Value>),
    List(Kind, Paging),
    Delete(Kind, String),
    Act(Action, String),
}

/// Which page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Paging {
    pub(crate) limit: usize,
    /// The id that the page begins after.
    pub(crate) after: Option<String>,
}

impl Command {
    /// Reads the parameters of a request to `route`; `body` is its JSON, or `None` if it is no JSON object.
    pub(crate) fn read(
        route: Route,
        query: &Form,
        body: Option<&Map<String, Value>>,
    ) -> Result<Self, ApiError> {
        let fields = || body.cloned().ok_or_else(ApiError::not_json);
        Ok(match route {
            Route::Create(kind) => {
                let fields = fields()?;
                for name in required(kind) {
                    if fields.get(*name).is_none_or(Value::is_null) {
                        return Err(ApiError::missing_parameter(name));
                    }
                }
                Self::Create(kind, checked(fields)?)
            }
            Route::Update(kind, id) => Self::Update(kind, id, checked(fields()?)?),
            Route::Retrieve(kind, id) => Self::Retrieve(kind, id),
            Route::List(kind) => Self::List(kind, Paging::read(query)?),
            Route::Delete(kind, id) => Self::Delete(kind, id),
            Route::Act(action, id) => {
                fields()?;
                Self::Act(action, id)
            }
        })
    }
}

impl Paging {
    fn read(query: &Form) -> Result<Self, ApiError> {
        let limit = match query.get("limit") {
            None => 20,
            Some(text) => match text.parse() {
                Ok(limit @ 1..=100) => limit,
                _ => return Err(ApiError::not_an_integer("limit", "an integer from 1 to 100")),
            },
        };
        let after = match query.get("page") {
            None => None,
            Some(page) => match page.strip_prefix("page_") {
                Some(id) => Some(id.to_owned()),
                None => return Err(ApiError::bad_parameter("page", "taken from a page's URL")),
            },
        };
        Ok(Self { limit, after })
    }
}

fn required(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Account => &[],
        Kind::Destination => &["name", "type", "enabled_events", "event_payload"],
        Kind::MeterEvent => &["event_name", "payload"],
    }
}

/// The few rules that values have to keep.
fn checked(fields: Map<String, Value>) -> Result<Map<String, Value>, ApiError> {
    if fields.get("metadata").is_some_and(|metadata| !metadata.is_object() && !metadata.is_null()) {
        return Err(ApiError::bad_parameter("metadata", "an object"));
    }
    if fields.get("enabled_events").is_some_and(|events| !events.is_array()) {
        return Err(ApiError::bad_parameter("enabled_events", "an array"));
    }
    if fields.get("payload").is_some_and(|payload| !payload.is_object()) {
        return Err(ApiError::bad_parameter("payload", "an object"));
    }
    Ok(fields)
}
