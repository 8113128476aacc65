//! One call: what comes in, what goes to Stripe, what comes back.

use std::sync::Arc;

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{AUTHORIZATION, ORIGIN},
    request::Parts,
};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use tower_stripe::{
    Operation, Report, ReportHandle, ResponseExt, StripeBody,
    vocab::{Mode, headers::IDEMPOTENCY_KEY, time::now},
};

use crate::{
    account::Account, body::RequestBody, forward, intents::Intents, notes::Notes, refusal::Refusal,
    shared::Shared,
};

/// The body of an answer: Stripe's, as it comes, or the sidecar's own.
pub(crate) type AnswerBody = Either<StripeBody<Incoming>, Full<Bytes>>;

/// Answers one request. Whoever drops the future is a client that went away.
pub(crate) async fn handle(shared: Arc<Shared>, request: Request<Incoming>) -> Response<AnswerBody> {
    let _under_way = shared.under_way();
    shared.notes.began();
    let key = key(&request);
    let response = match prepare(&shared, request).await {
        Ok(request) => send(&shared, request).await,
        Err(refusal) => turn_away(&shared, refusal, key),
    };
    shared.while_closing(response)
}

/// The idempotency key of the client's own, if it sent one.
pub(crate) fn key<B>(request: &Request<B>) -> Option<HeaderValue> {
    request.headers().get(IDEMPOTENCY_KEY).cloned()
}

/// The answer to a call that never gets as far as the stack.
pub(crate) fn turn_away(shared: &Shared, refusal: Refusal, key: Option<HeaderValue>) -> Response<AnswerBody> {
    shared.notes.turned_away();
    tracing::debug!(code = refusal.code(), "a call was refused");
    refusal.answer(Account::unsent(key)).map(Either::Right)
}

/// Makes of a client's request the one for Stripe.
async fn prepare(shared: &Shared, request: Request<Incoming>) -> Result<Request<RequestBody>, Refusal> {
    let arrived = now();
    let (Parts { method, uri, mut headers, .. }, body) = request.into_parts();
    let path = uri.path_and_query().filter(|path| path.as_str().starts_with('/'));
    let Some(path) = path.filter(|_| method != Method::CONNECT) else {
        return Err(Refusal::bad_request("this is no proxy: requests are for a path, as /v1/charges"));
    };
    // A page in a browser on this machine must not make calls, least of all with a key that it does not have.
    if headers.contains_key(ORIGIN) {
        return Err(Refusal::browser());
    }
    let intents = Intents::take(&mut headers).map_err(|bad| Refusal::bad_header(&bad))?;
    forward::request(&mut headers).map_err(Refusal::not_for_this_hop)?;
    // What the client gives for a key is a stand-in, and says only which mode it takes itself to be in.
    if let Some(held) = shared.transport.credentials().mode()
        && headers.contains_key(AUTHORIZATION)
    {
        if Mode::of(&headers) != held {
            return Err(Refusal::wrong_mode(held));
        }
        headers.remove(AUTHORIZATION);
    }
    let uri = shared.settings.upstreams.route(&method, path);
    let uri = uri.map_err(|_| Refusal::bad_request("its path cannot be part of a URL"))?;
    let body = RequestBody::receive(body, shared.settings.limits.body, &shared.memory);
    let body = body.await.map_err(|failed| Refusal::body(&failed))?;
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    intents.tell(request.extensions_mut(), arrived);
    Ok(request)
}

async fn send(shared: &Shared, mut request: Request<RequestBody>) -> Response<AnswerBody> {
    let handle = ReportHandle::new();
    request.extensions_mut().insert(handle.clone());
    let noted = Noted {
        notes: &shared.notes,
        method: request.method().clone(),
        operation: Operation::resolve(request.method(), request.uri().path()),
        handle: Some(handle),
    };
    match shared.stripe.send(request).await {
        Ok(mut response) => {
            let replayed = response.was_replayed().unwrap_or_default();
            let status = response.status();
            let report = noted.ended(Some(status), None);
            let headers = response.headers_mut();
            forward::response(headers);
            if shared.live.stop_sdk_retries() {
                forward::is_final(status, headers);
            }
            Account::of(&report, replayed).write(headers);
            response.map(Either::Left)
        }
        Err(error) => {
            let refusal = Refusal::of(&error);
            let report = noted.ended(None, Some(refusal.code()));
            refusal.answer(Account::of(&report, false)).map(Either::Right)
        }
    }
}

/// Notes how a call ended, also that its caller went away.
struct Noted<'a> {
    notes: &'a Notes,
    method: Method,
    operation: Operation,
    handle: Option<ReportHandle>,
}

impl Noted<'_> {
    fn ended(mut self, status: Option<StatusCode>, code: Option<&'static str>) -> Report {
        let report = self.handle.take().unwrap_or_default().report();
        self.notes.ended(&self.method, self.operation, &report, status, code);
        report
    }
}

impl Drop for Noted<'_> {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            self.notes.ended(&self.method, self.operation, &handle.report(), None, None);
        }
    }
}
