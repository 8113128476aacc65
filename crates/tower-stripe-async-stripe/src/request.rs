//! From async-stripe's request to one of HTTP.

use bytes::Bytes;
use http::{Extensions, HeaderValue, Method, Request, Uri, header::CONTENT_TYPE};
use http_body_util::Full;
use stripe_client_core::{CustomizedStripeRequest, RequestStrategy, StripeMethod};
use tower_stripe::{AttemptTimeout, IdempotencyKey, Refusal, RetryLimit};

use crate::{
    Error, InvalidRequest,
    settings::{STRIPE_ACCOUNT, Settings},
};

/// The request with everything that is to be said about its call in its extensions: what it was customised with stands
/// above `intents`, and those above the settings.
pub(crate) fn build(
    settings: &Settings,
    mut intents: Extensions,
    request: CustomizedStripeRequest,
) -> Result<Request<Full<Bytes>>, Error> {
    let (request, custom) = request.into_pieces();

    match custom.request_strategy {
        Some(RequestStrategy::Idempotent(key)) => give_key(&mut intents, key.as_str())?,
        Some(strategy) => drop(intents.insert(limit(&strategy)?)),
        None => {
            if let Some(strategy) = &settings.strategy {
                let limit = limit(strategy)?;
                intents.get_or_insert_with(|| limit);
            }
        }
    }
    match (custom.timeout, settings.timeout) {
        (Some(limit), _) => drop(intents.insert(AttemptTimeout::new(limit))),
        (None, Some(limit)) => drop(intents.get_or_insert_with(|| AttemptTimeout::new(limit))),
        (None, None) => {}
    }

    let mut headers = settings.headers.clone();
    if let Some(account) = &custom.account_id {
        headers.insert(STRIPE_ACCOUNT, account_header(account.as_str())?);
    }
    if request.body.is_some() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    }

    let mut http = Request::new(Full::from(request.body.unwrap_or_default()));
    *http.method_mut() = match request.method {
        StripeMethod::Get => Method::GET,
        StripeMethod::Post => Method::POST,
        StripeMethod::Delete => Method::DELETE,
    };
    *http.uri_mut() = uri(&settings.base, &request.path, request.query.as_deref())?;
    *http.headers_mut() = headers;
    *http.extensions_mut() = intents;
    Ok(http)
}

/// Checks the key by Stripe's rules, of which async-stripe knows only the length.
fn give_key(intents: &mut Extensions, key: &str) -> Result<(), Error> {
    let key = IdempotencyKey::new(key).map_err(|why| Error::refused(Refusal::InvalidKey(why)))?;
    match intents.get::<IdempotencyKey>() {
        // The one that is there may know more of its past.
        Some(other) if *other == key => Ok(()),
        Some(_) => Err(Error::refused(Refusal::ConflictingKeys)),
        None => {
            intents.insert(key);
            Ok(())
        }
    }
}

/// async-stripe counts attempts, this stack retries.
fn limit(strategy: &RequestStrategy) -> Result<RetryLimit, InvalidRequest> {
    match strategy {
        RequestStrategy::Retry(attempts) | RequestStrategy::ExponentialBackoff(attempts) => {
            attempts.checked_sub(1).map(RetryLimit::new).ok_or(InvalidRequest::NoAttempts)
        }
        RequestStrategy::Once | RequestStrategy::Idempotent(_) => Ok(RetryLimit::NONE),
    }
}

/// An empty one would go to the platform's own account instead.
fn account_header(account: &str) -> Result<HeaderValue, InvalidRequest> {
    if account.is_empty() {
        return Err(InvalidRequest::EmptyAccount);
    }
    match account.bytes().position(|byte| !byte.is_ascii_graphic()) {
        Some(position) => Err(InvalidRequest::Account { position }),
        None => Ok(HeaderValue::try_from(account).expect("it is visible ASCII")),
    }
}

/// Ids stand in the path as they are, so what would end it there, and ask for something else, is refused.
fn uri(base: &str, path: &str, query: Option<&str>) -> Result<Uri, InvalidRequest> {
    if !path.starts_with('/') || path.contains(['?', '#']) {
        return Err(InvalidRequest::Path);
    }
    let uri = match query {
        Some(query) => format!("{base}/v1{path}?{query}"),
        None => format!("{base}/v1{path}"),
    };
    uri.parse().map_err(|_| InvalidRequest::Path)
}
