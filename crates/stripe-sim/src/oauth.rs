//! The two endpoints of OAuth, whose errors are strings and whose requests know no idempotency keys.

use std::collections::BTreeSet;

use http::StatusCode;
use serde_json::{Value, json};

use crate::{answer::Answer, chance::Ids, form::Form};

/// Who may do what on whose behalf.
#[derive(Default)]
pub(crate) struct Grants {
    /// Codes and tokens that were redeemed: each is good once.
    redeemed: BTreeSet<String>,
    connected: BTreeSet<String>,
}

/// The endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Token,
    Deauthorize,
}

impl Endpoint {
    pub(crate) fn find(method: &str, path: &str) -> Option<Self> {
        match (method, path) {
            ("POST", "/oauth/token") => Some(Self::Token),
            ("POST", "/oauth/deauthorize") => Some(Self::Deauthorize),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Token => "oauth.token",
            Self::Deauthorize => "oauth.deauthorize",
        }
    }
}

impl Grants {
    /// The answer, and whether it changed anything. `known` says whether the request's credential is an account's.
    pub(crate) fn handle(
        &mut self,
        endpoint: Endpoint,
        form: &Form,
        known: bool,
        live: bool,
        ids: &mut Ids,
    ) -> (Answer, bool) {
        let done = if known {
            match endpoint {
                Endpoint::Token => self.token(form, live, ids),
                Endpoint::Deauthorize => self.deauthorize(form),
            }
        } else {
            Err(refusal(StatusCode::UNAUTHORIZED, "invalid_client", "no account has this secret"))
        };
        match done {
            Ok(value) => (Answer::ok(&value), true),
            Err((status, body)) => (Answer::stored(status, body.to_string().into()), false),
        }
    }

    fn token(&mut self, form: &Form, live: bool, ids: &mut Ids) -> Result<Value, (StatusCode, Value)> {
        let bad = |error, description| Err(refusal(StatusCode::BAD_REQUEST, error, description));
        if !matches!(form.get("scope"), None | Some("read_only" | "read_write")) {
            return bad("invalid_scope", "a scope is read_only or read_write");
        }
        let (field, prefix) = match form.get("grant_type") {
            None => return bad("invalid_request", "the parameter grant_type is required"),
            Some("authorization_code") => ("code", "ac_"),
            Some("refresh_token") => ("refresh_token", "rt_"),
            Some(_) => return bad("unsupported_grant_type", "this kind of grant is not simulated"),
        };
        let Some(grant) = form.get(field) else {
            return bad("invalid_request", "the grant itself is missing");
        };
        // A refresh token may be used again and again, a code only once.
        if !grant.starts_with(prefix) || (prefix == "ac_" && !self.redeemed.insert(grant.to_owned())) {
            return bad("invalid_grant", "there is no such grant, or it was redeemed before");
        }
        let account = ids.object("acct");
        self.connected.insert(account.clone());
        let mode = if live { "live" } else { "test" };
        Ok(json!({
            "access_token": ids.object(&format!("sk_{mode}")),
            "livemode": live,
            "refresh_token": ids.object("rt"),
            "scope": form.get("scope").unwrap_or("read_only"),
            "stripe_publishable_key": ids.object(&format!("pk_{mode}")),
            "stripe_user_id": account,
            "token_type": "bearer",
        }))
    }

    fn deauthorize(&mut self, form: &Form) -> Result<Value, (StatusCode, Value)> {
        let Some(account) = form.get("stripe_user_id") else {
            let description = "the parameter stripe_user_id is required";
            return Err(refusal(StatusCode::BAD_REQUEST, "invalid_request", description));
        };
        if self.connected.remove(account) {
            return Ok(json!({ "stripe_user_id": account }));
        }
        Err(refusal(StatusCode::UNAUTHORIZED, "invalid_client", "this account is not connected"))
    }
}

/// An error of OAuth.
pub(crate) fn refusal(status: StatusCode, error: &str, description: &str) -> (StatusCode, Value) {
    (status, json!({ "error": error, "error_description": description }))
}
