//! Which part of Stripe a request is for.

use std::fmt;

use http::Uri;

use super::Operation;

/// A host of Stripe's: each is another service, that can fail while the others are well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// `api.stripe.com`.
    Api,
    /// `files.stripe.com`: uploads.
    Files,
    /// `connect.stripe.com`: OAuth.
    Connect,
    /// `meter-events.stripe.com`: usage in bulk.
    MeterEvents,
}

impl Host {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Api, Self::Files, Self::Connect, Self::MeterEvents];

    /// The host that a request to `uri` is for. A host that is not Stripe's stands in for the one that `operation` is
    /// documented for, as a simulator or a proxy does.
    #[must_use]
    pub fn of(uri: &Uri, operation: Operation) -> Self {
        let named = |host: &str| Self::ALL.into_iter().find(|known| known.name().eq_ignore_ascii_case(host));
        uri.host().and_then(named).or_else(|| named(operation.host())).unwrap_or(Self::Api)
    }

    /// Its name in the domain name system.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Api => "api.stripe.com",
            Self::Files => "files.stripe.com",
            Self::Connect => "connect.stripe.com",
            Self::MeterEvents => "meter-events.stripe.com",
        }
    }

    /// The word for logs and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Files => "files",
            Self::Connect => "connect",
            Self::MeterEvents => "meter_events",
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    #[test]
    fn a_stand_in_counts_as_the_host_that_the_operation_is_documented_for() {
        for (method, uri, expected) in [
            (Method::GET, "https://api.stripe.com/v1/files", Host::Api),
            (Method::POST, "https://FILES.stripe.com/v1/files", Host::Files),
            (Method::POST, "http://127.0.0.1:12111/v1/files", Host::Files),
            (Method::POST, "http://127.0.0.1:12111/v1/charges", Host::Api),
            (Method::POST, "http://127.0.0.1:12111/oauth/token", Host::Connect),
            (Method::POST, "http://127.0.0.1:12111/v2/billing/meter_event_stream", Host::MeterEvents),
            (Method::POST, "http://127.0.0.1:12111/v1/nothing_known", Host::Api),
        ] {
            let uri: Uri = uri.parse().expect("a URI");
            let operation = Operation::resolve(&method, uri.path());
            assert_eq!(Host::of(&uri, operation), expected, "{uri}");
        }
    }
}
