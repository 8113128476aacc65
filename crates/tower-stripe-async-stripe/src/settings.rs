//! The configuration of a client, checked.

use std::{fmt, time::Duration};

use http::{
    HeaderMap, HeaderName, HeaderValue, Uri,
    header::{AUTHORIZATION, USER_AGENT},
};
use stripe_client_core::{RequestStrategy, SharedConfigBuilder};
use tower_stripe::{
    ConfigError,
    vocab::{Problem, Setting},
};

/// The connected account that a call is made for.
pub(crate) const STRIPE_ACCOUNT: HeaderName = HeaderName::from_static("stripe-account");
const STRIPE_VERSION: HeaderName = HeaderName::from_static("stripe-version");
const CLIENT_ID: HeaderName = HeaderName::from_static("client-id");

const STRIPE: &str = "https://api.stripe.com";
const THIS_CRATE: &str = concat!("tower-stripe-async-stripe/", env!("CARGO_PKG_VERSION"));

const OF_A_HEADER: &str = "not empty, and of visible ASCII characters";

/// What all calls of a client have in common.
pub(crate) struct Settings {
    /// Scheme, host and path, without a slash at the end.
    pub(crate) base: String,
    /// Those that every request carries.
    pub(crate) headers: HeaderMap,
    /// Never one with a key.
    pub(crate) strategy: Option<RequestStrategy>,
    pub(crate) timeout: Option<Duration>,
}

impl Settings {
    pub(crate) fn check(config: SharedConfigBuilder) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let mut headers = HeaderMap::new();
        let mut header = |name: HeaderName, value: Result<HeaderValue, Problem>| match value {
            Ok(value) => drop(headers.insert(name, value)),
            Err(problem) => problems.push(problem),
        };
        header(AUTHORIZATION, authorization(&config.secret));
        header(STRIPE_VERSION, visible("stripe_version", config.stripe_version.as_str()));
        header(USER_AGENT, user_agent(config.app_info_str.as_deref()));
        if let Some(account) = &config.account_id {
            header(STRIPE_ACCOUNT, visible("account_id", account.as_str()));
        }
        if let Some(client) = &config.client_id {
            header(CLIENT_ID, visible("client_id", client.as_str()));
        }
        let base = base(config.api_base.as_deref().unwrap_or(STRIPE)).unwrap_or_else(|problem| {
            problems.push(problem);
            String::new()
        });
        if let Some(timeout @ Duration::ZERO) = config.timeout {
            problems.push(Setting::time("timeout", timeout).must_be("longer than 0s"));
        }
        problems.extend(config.request_strategy.as_ref().and_then(unfit));
        ConfigError::unless_none(problems)?;
        Ok(Self { base, headers, strategy: config.request_strategy, timeout: config.timeout })
    }
}

fn authorization(secret: &str) -> Result<HeaderValue, Problem> {
    let hidden = || Setting::new("secret", "(not shown)");
    if secret.is_empty() || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(hidden().must_be(OF_A_HEADER));
    }
    if secret.starts_with("pk_") {
        return Err(hidden().must_be("a secret or a restricted key, not a publishable one"));
    }
    let mut value = HeaderValue::try_from(format!("Bearer {secret}")).expect("it is visible ASCII");
    value.set_sensitive(true);
    Ok(value)
}

/// A header of one word.
fn visible(name: &'static str, value: &str) -> Result<HeaderValue, Problem> {
    let word = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic());
    let header = HeaderValue::try_from(value).ok().filter(|_| word);
    header.ok_or_else(|| Setting::new(name, format_args!("{value:?}")).must_be(OF_A_HEADER))
}

fn user_agent(app_info: Option<&str>) -> Result<HeaderValue, Problem> {
    let Some(app) = app_info else { return Ok(HeaderValue::from_static(THIS_CRATE)) };
    HeaderValue::try_from(format!("{THIS_CRATE} {app}"))
        .map_err(|_| Setting::new("app_info", format_args!("{app:?}")).must_be("of visible ASCII characters"))
}

fn base(url: &str) -> Result<String, Problem> {
    // What stands before an @ may be a password.
    let shown = if url.contains('@') { "(not shown)".to_owned() } else { format!("{url:?}") };
    let problem = || Setting::new("url", shown).must_be("http(s)://host[:port][/path]");
    match url.parse::<Uri>().map(Uri::into_parts) {
        Ok(http::uri::Parts { scheme: Some(scheme), authority: Some(authority), path_and_query, .. })
            if matches!(scheme.as_str(), "http" | "https")
                && !authority.as_str().contains('@')
                && !url.contains(['?', '#']) =>
        {
            let path = path_and_query.as_ref().map_or("", |path| path.path()).trim_end_matches('/');
            Ok(format!("{scheme}://{authority}{path}"))
        }
        _ => Err(problem()),
    }
}

/// What is wrong with a strategy for all calls.
fn unfit(strategy: &RequestStrategy) -> Option<Problem> {
    match strategy {
        RequestStrategy::Idempotent(_) => Some(
            Setting::new("request_strategy", "Idempotent(…)")
                .must_be("set for one call, by customize(): an idempotency key is for one order"),
        ),
        RequestStrategy::Retry(0) | RequestStrategy::ExponentialBackoff(0) => Some(
            Setting::new("request_strategy", format_args!("{strategy:?}")).must_be("of at least 1 attempt"),
        ),
        RequestStrategy::Once | RequestStrategy::Retry(_) | RequestStrategy::ExponentialBackoff(_) => None,
    }
}

/// The header with the API key shows itself as sensitive.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("url", &self.base)
            .field("headers", &self.headers)
            .field("request_strategy", &self.strategy)
            .field("timeout", &self.timeout)
            .finish()
    }
}
