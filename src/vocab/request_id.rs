//! Stripe's name for one exchange.

use std::{fmt, sync::Arc};

use http::HeaderValue;

/// Stripe's `Request-Id`, `req_…`: what its support asks for first.
///
/// It names no person and no payment, and is safe to log. What arrives is cut to 128 characters, and a value with other
/// than printable ASCII, or with spaces, is dropped: the header may have been written by anyone in between.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// The longest id that is kept.
    pub const MAX_LEN: usize = 128;

    /// The id in a header, if it is one.
    #[must_use]
    pub fn from_header(value: &HeaderValue) -> Option<Self> {
        let value = value.to_str().ok()?;
        let id = &value[..value.len().min(Self::MAX_LEN)]; // `to_str` lets only ASCII through.
        (!id.is_empty() && id.bytes().all(|byte| byte.is_ascii_graphic())).then(|| Self(id.into()))
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({})", self.0)
    }
}
