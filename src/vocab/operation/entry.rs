use std::{fmt, time::Duration};

use http::Method;

use super::{
    ApiVersion, Class, Priority, matcher,
    table::{COUNT, OPERATIONS},
};

/// An entry of Stripe's API, such as `payment_intents.confirm`, or `other`. See the [module docs](super).
///
/// Operations are ordered by name, `other` last. As an extension of a request, an operation overrules the one that
/// method and path say.
///
/// ```
/// use tower_stripe::vocab::Operation;
///
/// let search = Operation::resolve(&http::Method::GET, "/v1/customers/search");
/// assert_eq!(format!("{search} {search:?}"), "customers.search customers.search");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Operation(u16);

/// What the table knows of an operation.
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) method: Option<&'static str>,
    pub(super) template: &'static str,
    pub(super) host: &'static str,
    pub(super) version: ApiVersion,
    pub(super) class: Class,
    pub(super) priority: Priority,
    /// A list, which may take Stripe longer than a read of one object does.
    pub(super) list: bool,
}

impl Operation {
    /// The operation of a request with this method and path; `other` if the table has none.
    ///
    /// The path is that of the URI: undecoded, and without the query. It may be anything; this never panics.
    ///
    /// ```
    /// use http::Method;
    /// use tower_stripe::vocab::Operation;
    ///
    /// let name = |method, path| Operation::resolve(&method, path).name();
    ///
    /// assert_eq!(name(Method::GET, "/v1/coupons/SUMMER25"), "coupons.retrieve");
    /// assert_eq!(name(Method::GET, "/v1/coupons/SUMMER25/"), "other");
    /// assert_eq!(name(Method::PATCH, "/v1/coupons/SUMMER25"), "other");
    /// ```
    #[must_use]
    pub fn resolve(method: &Method, path: &str) -> Self {
        match matcher::find(method, path) {
            Some(index) => Self(index),
            None => Self::miss(method, path),
        }
    }

    /// The operation with this name; `None` if the table has none, so that a label can never be made up.
    ///
    /// ```
    /// use tower_stripe::vocab::Operation;
    ///
    /// assert!(Operation::new("refunds.create").is_some());
    /// assert!(Operation::new("refunds.re_1Pq").is_none());
    /// assert!(Operation::new("other").is_none());
    /// ```
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let index = OPERATIONS[..COUNT].binary_search_by(|entry| entry.name.cmp(name)).ok()?;
        u16::try_from(index).ok().map(Self)
    }

    /// All operations of the table, by name, without `other`.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..).take(COUNT).map(Self)
    }

    /// The name, fit for a label: `payment_intents.confirm`, or `other`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.entry().name
    }

    /// What kind of operation it is.
    #[must_use]
    pub const fn class(self) -> Class {
        self.entry().class
    }

    /// Whether it may move money, now or under a condition.
    #[must_use]
    pub const fn is_money(self) -> bool {
        matches!(self.class(), Class::Money)
    }

    /// Who is admitted first, unless the call says otherwise.
    #[must_use]
    pub const fn priority(self) -> Priority {
        self.entry().priority
    }

    /// The API version that its path belongs to.
    #[must_use]
    pub const fn api_version(self) -> ApiVersion {
        self.entry().version
    }

    /// The method; `None` for `other`.
    #[must_use]
    pub const fn method(self) -> Option<&'static str> {
        self.entry().method
    }

    /// The path template, fit for `url.template`: `/v1/payment_intents/{intent}/confirm`, or `other`.
    #[must_use]
    pub const fn template(self) -> &'static str {
        self.entry().template
    }

    /// The host that Stripe documents for it; `api.stripe.com` for `other`.
    #[must_use]
    pub const fn host(self) -> &'static str {
        self.entry().host
    }

    /// How long one attempt may take, unless configured otherwise.
    #[must_use]
    pub const fn attempt_timeout(self) -> Duration {
        let entry = self.entry();
        Duration::from_secs(match entry.class {
            Class::Upload => 120,
            Class::Search => 45,
            Class::Read if entry.list => 45,
            Class::Read => 20,
            Class::Money | Class::Write | Class::Meter => 30,
        })
    }

    /// How long the whole call may take, unless configured otherwise.
    #[must_use]
    pub const fn deadline(self) -> Duration {
        Duration::from_secs(match self.class() {
            Class::Upload => 300,
            _ => 75,
        })
    }

    /// How many there are, with the kinds of `other`.
    #[cfg(any(feature = "governor", feature = "telemetry"))]
    pub(crate) const COUNT: usize = OPERATIONS.len();

    /// Its place among all, below [`COUNT`](Self::COUNT).
    #[cfg(any(feature = "governor", feature = "telemetry"))]
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }

    const fn entry(self) -> &'static Entry {
        &OPERATIONS[self.0 as usize]
    }

    /// One of the entries behind the table's own, all of them named `other`: what is not known to be harmless may move
    /// money.
    #[cold]
    fn miss(method: &Method, path: &str) -> Self {
        let version = match path.as_bytes() {
            b"/v1" | [b'/', b'v', b'1', b'/', ..] => ApiVersion::V1,
            b"/v2" | [b'/', b'v', b'2', b'/', ..] => ApiVersion::V2,
            _ => ApiVersion::Other,
        };
        let offset = match (version, method) {
            (ApiVersion::V1, &Method::GET) => 0,
            (ApiVersion::V1, &Method::DELETE) => 1,
            (ApiVersion::V1, _) => 2,
            (ApiVersion::V2, &Method::GET) => 3,
            (ApiVersion::V2, _) => 4,
            (ApiVersion::Other, &Method::GET) => 5,
            (ApiVersion::Other, &Method::DELETE) => 6,
            (ApiVersion::Other, _) => 7,
        };
        Self(COUNT as u16 + offset)
    }
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
