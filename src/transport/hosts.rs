//! Where requests may go.

use std::{
    future::Future,
    net::IpAddr,
    pin::Pin,
    task::{Context, Poll},
};

use http::{Request, Uri};
use pin_project::pin_project;

use crate::vocab::{Problem, Recorder, Refusal, Refused, Setting};

/// Stripe's own. (Source: the base URLs of Stripe's libraries.)
const STRIPE: [&str; 4] =
    ["api.stripe.com", "files.stripe.com", "connect.stripe.com", "meter-events.stripe.com"];

/// The hosts that requests may go to. A request carries an API key: it must not leave for anywhere else.
#[derive(Clone, Debug, Default)]
pub(super) struct Hosts {
    more: Vec<Box<str>>,
}

impl Hosts {
    pub(super) fn allow(&mut self, host: &str) {
        self.more.push(host.into());
    }

    pub(super) fn settings(&self) -> Vec<Setting> {
        let allowed = self.more.iter().map(|host| Setting::new("allow_host", format_args!("{host:?}")));
        std::iter::once(Setting::new("hosts", STRIPE.join(", "))).chain(allowed).collect()
    }

    pub(super) fn check_settings(&self, problems: &mut Vec<Problem>) {
        for host in &self.more {
            let uri = Uri::try_from(&**host).ok();
            // A bare host parses as an authority and nothing else, and has no port.
            let bare = !host.contains('*')
                && uri.is_some_and(|uri| {
                    uri.host() == Some(host) && uri.port().is_none() && uri.scheme().is_none()
                });
            if !bare {
                problems.push(Setting::new("allow_host", format_args!("{host:?}")).must_be(
                    "a host name, an IPv4 address, or an IPv6 address in brackets, and nothing else",
                ));
            }
        }
    }

    /// Whether a request may go to `uri`.
    pub(super) fn check(&self, uri: &Uri) -> Result<(), Refusal> {
        let host = uri.host().unwrap_or_default();
        let is = |allowed: &str| allowed.eq_ignore_ascii_case(host);
        if !STRIPE.iter().any(|allowed| is(allowed)) && !self.more.iter().any(|allowed| is(allowed)) {
            return Err(Refusal::HostNotAllowed { host: host.into() });
        }
        if uri.scheme_str() == Some("https") || is_loopback(host) {
            Ok(())
        } else {
            Err(Refusal::PlainHttp { host: host.into() })
        }
    }
}

/// A call that goes on only if it is for Stripe.
///
/// Not a service: each service that stands around others multiplies the work of the compiler where it has to prove that
/// the stack's futures can be sent.
#[pin_project(project = CheckedProj)]
#[derive(Debug)]
pub(super) enum Checked<F> {
    Refused(Option<Refused>),
    Going(#[pin] F),
}

impl<F> Checked<F> {
    pub(super) fn new<B>(hosts: &Hosts, mut request: Request<B>, call: impl FnOnce(Request<B>) -> F) -> Self {
        match hosts.check(request.uri()) {
            Ok(()) => Self::Going(call(request)),
            Err(refusal) => {
                let refused = Recorder::of_one_call(&mut request)
                    .map_or_else(|refused| refused, |recorder| recorder.refuse_unread(&request, refusal));
                Self::Refused(Some(refused))
            }
        }
    }
}

impl<F, R, E> Future for Checked<F>
where
    F: Future<Output = Result<R, E>>,
    E: From<Refused>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match self.project() {
            CheckedProj::Going(inner) => inner.poll(cx),
            CheckedProj::Refused(refused) => match refused.take() {
                Some(refused) => Poll::Ready(Err(refused.into())),
                None => Poll::Pending,
            },
        }
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_stripe_and_what_was_allowed_is_reached_and_plain_http_only_on_loopback() {
        let mut hosts = Hosts::default();
        ["127.0.0.1", "[::1]", "proxy.internal"].iter().for_each(|host| hosts.allow(host));
        let not_allowed = |host: &str| Err(Refusal::HostNotAllowed { host: host.into() });
        let plain = |host: &str| Err(Refusal::PlainHttp { host: host.into() });
        for (uri, expected) in [
            ("https://api.stripe.com/v1/charges", Ok(())),
            ("https://API.Stripe.com:443/v1/charges", Ok(())),
            ("https://files.stripe.com/v1/files", Ok(())),
            ("https://connect.stripe.com/oauth/token", Ok(())),
            ("https://meter-events.stripe.com/v2/billing/meter_event_stream", Ok(())),
            ("http://127.0.0.1:12111/v1/charges", Ok(())),
            ("http://[::1]:12111/v1/charges", Ok(())),
            ("https://proxy.internal/v1/charges", Ok(())),
            ("http://proxy.internal/v1/charges", plain("proxy.internal")),
            ("http://api.stripe.com/v1/charges", plain("api.stripe.com")),
            ("https://localhost/v1/charges", not_allowed("localhost")),
            ("https://evil.example/v1/charges", not_allowed("evil.example")),
            ("https://api.stripe.com@evil.example/v1/charges", not_allowed("evil.example")),
            ("https://api.stripe.com.evil.example/", not_allowed("api.stripe.com.evil.example")),
            ("https://stripe.com/v1/charges", not_allowed("stripe.com")),
            ("/v1/charges", not_allowed("")),
        ] {
            assert_eq!(hosts.check(&uri.parse().unwrap()), expected, "{uri}");
        }
    }

    #[test]
    fn a_host_that_is_more_than_a_host_is_a_problem() {
        let problems = |host: &str| {
            let mut hosts = Hosts::default();
            hosts.allow(host);
            let mut problems = Vec::new();
            hosts.check_settings(&mut problems);
            problems.len()
        };
        for (host, expected) in [
            ("localhost", 0),
            ("127.0.0.1", 0),
            ("[::1]", 0),
            ("", 1),
            ("localhost:12111", 1),
            ("http://localhost", 1),
            ("localhost/v1", 1),
            ("not a host", 1),
            ("*", 1),
            ("*.stripe.com", 1),
            ("::1", 1),
        ] {
            assert_eq!(problems(host), expected, "{host:?}");
        }
    }
}
