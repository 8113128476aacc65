//! Where calls go: one base URL for each host of Stripe's.

use std::{fmt, net::IpAddr};

use http::{
    Method, Uri,
    uri::{Authority, PathAndQuery, Scheme},
};
use tower_stripe::vocab::{Host, Operation};

/// A scheme and an authority, and nothing else: `https://api.stripe.com`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Base {
    scheme: Scheme,
    authority: Authority,
}

/// One [`Base`] for each [`Host`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Upstreams {
    bases: [Base; 4],
}

impl Base {
    /// Reads a base URL.
    ///
    /// # Errors
    /// What it must be, if it is something else.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        const RULE: &str = "a URL of a scheme and a host, as https://api.stripe.com";
        let uri: Uri = text.parse().map_err(|_| RULE)?;
        let parts = uri.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else { return Err(RULE) };
        if parts.path_and_query.is_some_and(|path| path != "/") || authority.as_str().contains('@') {
            return Err(RULE);
        }
        let base = Self { scheme, authority };
        match base.scheme.as_str() {
            "https" => Ok(base),
            "http" if base.is_loopback() => Ok(base),
            "http" => Err("a URL of https: plain http is allowed only to loopback addresses"),
            _ => Err("a URL of https, or of http to a loopback address"),
        }
    }

    fn of(host: Host) -> Self {
        Self { scheme: Scheme::HTTPS, authority: Authority::from_static(host.name()) }
    }

    pub(crate) fn host(&self) -> &str {
        self.authority.host()
    }

    /// Whether it is one of Stripe's own hosts.
    pub(crate) fn is_stripes(&self) -> bool {
        Host::ALL.iter().any(|host| host.name().eq_ignore_ascii_case(self.host()))
    }

    fn is_loopback(&self) -> bool {
        let host = self.host();
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        host.eq_ignore_ascii_case("localhost")
            || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

impl Upstreams {
    /// `api` for the API. The other hosts are Stripe's own only if that one is: what is told to call a simulator must not
    /// upload its files to Stripe.
    pub(crate) fn new(api: Base) -> Self {
        let bases = if api.is_stripes() { Host::ALL.map(Base::of) } else { Host::ALL.map(|_| api.clone()) };
        let mut upstreams = Self { bases };
        upstreams.replace(Host::Api, api);
        upstreams
    }

    pub(crate) fn replace(&mut self, host: Host, base: Base) {
        self.bases[index(host)] = base;
    }

    pub(crate) fn get(&self, host: Host) -> &Base {
        &self.bases[index(host)]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Host, &Base)> {
        Host::ALL.into_iter().zip(&self.bases)
    }

    /// Where a request goes: its path and query as they came, byte for byte, at the host that the operation is documented
    /// for. What the client called the host of this sidecar decides nothing.
    pub(crate) fn route(&self, method: &Method, path: &PathAndQuery) -> Result<Uri, http::Error> {
        let base = self.get(host_of(method, path.path()));
        Uri::builder()
            .scheme(base.scheme.clone())
            .authority(base.authority.clone())
            .path_and_query(path.clone())
            .build()
    }
}

impl Default for Upstreams {
    fn default() -> Self {
        Self { bases: Host::ALL.map(Base::of) }
    }
}

fn index(host: Host) -> usize {
    Host::ALL.iter().position(|known| *known == host).unwrap_or_default()
}

/// All of OAuth is on one host, also what the operation table does not have.
fn host_of(method: &Method, path: &str) -> Host {
    if path.starts_with("/oauth/") {
        return Host::Connect;
    }
    let operation = Operation::resolve(method, path);
    Host::ALL.into_iter().find(|host| host.name() == operation.host()).unwrap_or(Host::Api)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstreams() -> Upstreams {
        Upstreams::new(Base::parse("https://api.stripe.com").unwrap())
    }

    fn route(upstreams: &Upstreams, method: Method, path: &'static str) -> String {
        upstreams.route(&method, &PathAndQuery::from_static(path)).unwrap().to_string()
    }

    #[test]
    fn each_operation_goes_to_the_host_that_it_is_documented_for() {
        for (method, path, expected) in [
            (Method::POST, "/v1/charges", "https://api.stripe.com/v1/charges"),
            (Method::POST, "/v1/files", "https://files.stripe.com/v1/files"),
            (Method::GET, "/v1/files", "https://api.stripe.com/v1/files"),
            (Method::GET, "/v1/quotes/qt_1/pdf", "https://files.stripe.com/v1/quotes/qt_1/pdf"),
            (Method::POST, "/oauth/token", "https://connect.stripe.com/oauth/token"),
            (Method::GET, "/oauth/authorize?a=b", "https://connect.stripe.com/oauth/authorize?a=b"),
            (
                Method::POST,
                "/v2/billing/meter_event_stream",
                "https://meter-events.stripe.com/v2/billing/meter_event_stream",
            ),
            (Method::POST, "/v1/novelties", "https://api.stripe.com/v1/novelties"),
        ] {
            assert_eq!(route(&upstreams(), method, path), expected);
        }
    }

    #[test]
    fn path_and_query_stay_as_they_are() {
        for path in
            ["/v1/charges?", "/v1/a%2Fb%zz//c/../d?x[]=1&&y=%20+", "/", "/v1/customers?query=name:'Jo'"]
        {
            assert_eq!(
                route(&upstreams(), Method::GET, path),
                format!("https://api.stripe.com{path}"),
                "{path}"
            );
        }
    }

    #[test]
    fn what_calls_a_simulator_calls_stripe_nowhere() {
        let mut simulated = Upstreams::new(Base::parse("http://127.0.0.1:12111/").unwrap());
        assert!(simulated.iter().all(|(_, base)| base.to_string() == "http://127.0.0.1:12111"));
        simulated.replace(Host::Files, Base::parse("http://[::1]:9").unwrap());
        assert_eq!(route(&simulated, Method::POST, "/v1/files"), "http://[::1]:9/v1/files");
        assert_eq!(route(&simulated, Method::POST, "/oauth/token"), "http://127.0.0.1:12111/oauth/token");
    }

    #[test]
    fn a_base_is_a_scheme_and_a_host_and_plain_http_stays_on_this_machine() {
        for text in
            ["https://proxy.internal", "http://localhost:1", "http://[::1]:1", "https://API.stripe.com:443/"]
        {
            assert!(Base::parse(text).is_ok(), "{text}");
        }
        for (text, part) in [
            ("api.stripe.com", "scheme"),
            ("https://api.stripe.com/v1", "scheme"),
            ("https://api.stripe.com/?a", "scheme"),
            ("https://sk_live_x@api.stripe.com", "scheme"),
            ("", "scheme"),
            ("http://api.stripe.com", "loopback"),
            ("ftp://api.stripe.com", "https"),
        ] {
            let rule = Base::parse(text).expect_err(text);
            assert!(rule.contains(part), "{text}: {rule}");
        }
    }
}
