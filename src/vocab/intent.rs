//! What a caller says about one call, in the extensions of its request.
//!
//! One type per concern, so that the order of insertion cannot matter. What is not said, the configuration decides.
//! [`IdempotencyKey`](super::IdempotencyKey), [`Priority`](super::Priority) and [`Operation`](super::Operation) belong
//! here too. An idempotency key may also be given as a header; one that differs from the extension is refused.
//!
//! ```
//! use std::time::Duration;
//! use tower_stripe::{Deadline, IdempotencyKey, RetryLimit};
//!
//! let request = http::Request::post("https://api.stripe.com/v1/refunds")
//!     .extension(IdempotencyKey::new("refund-of-order-8812")?)
//!     .extension(Deadline::after(Duration::from_secs(10)))
//!     .extension(RetryLimit::NONE)
//!     .body(())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::time::{Duration, Instant};

/// How often this call may be retried, instead of as often as configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RetryLimit(u32);

impl RetryLimit {
    /// One attempt, no retry. (A request that provably never left may still be sent once more.)
    pub const NONE: Self = Self(0);

    /// At most so many retries after the first attempt.
    #[must_use]
    pub const fn new(retries: u32) -> Self {
        Self(retries)
    }

    /// At most so many retries.
    #[must_use]
    pub const fn retries(self) -> u32 {
        self.0
    }
}

/// When this call must be over, with all attempts and waits, and with the body of its response.
///
/// An hour is the longest that the stack goes on for one call, since idempotency keys age; later deadlines are brought
/// forward to that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Deadline(When);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum When {
    At(Instant),
    After(Duration),
}

impl Deadline {
    /// What a call may take where nobody says otherwise; an upload may take 300 s.
    pub const DEFAULT: Duration = Duration::from_secs(75);

    /// The longest time that a call may take.
    pub const MAX: Duration = Duration::from_secs(3_600);

    /// At a point in time.
    #[must_use]
    pub const fn at(instant: Instant) -> Self {
        Self(When::At(instant))
    }

    /// So long after the call was made.
    #[must_use]
    pub const fn after(time: Duration) -> Self {
        Self(When::After(time))
    }

    /// The point in time, for a call made at `now`.
    #[must_use]
    pub fn instant(self, now: Instant) -> Instant {
        match self.0 {
            When::At(instant) => instant.min(now + Self::MAX),
            When::After(time) => now + time.min(Self::MAX),
        }
    }
}

/// How long each attempt of this call may take up to its response head, instead of as long as configured.
///
/// Zero leaves no time to send anything: the call is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttemptTimeout(Duration);

impl AttemptTimeout {
    /// At most so long.
    #[must_use]
    pub const fn new(limit: Duration) -> Self {
        Self(limit)
    }

    /// At most so long.
    #[must_use]
    pub const fn limit(self) -> Duration {
        self.0
    }
}

#[cfg(test)]
mod tests;
