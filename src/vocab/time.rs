//! The clocks of the library.
//!
//! Engines take `now` as an argument and know no clock. Services ask [`now`], which follows tokio's clock and so stands
//! still in a test with paused time. The age of an idempotency key is measured in Stripe's time, which only a wall clock
//! comes near to: [`WallClock`].

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

/// The present, by tokio's clock.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Where the time of day comes from: the system, or a test.
#[derive(Clone, Default)]
pub struct WallClock(Source);

#[derive(Clone, Default)]
enum Source {
    #[default]
    System,
    Manual(Arc<AtomicU64>),
}

impl WallClock {
    /// The system's clock.
    pub const SYSTEM: Self = Self(Source::System);

    /// A clock that stands at `time` until [`set`](Self::set) moves it; its clones move with it.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use tower_stripe::vocab::time::WallClock;
    ///
    /// let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_182_400);
    /// let clock = WallClock::manual(noon);
    /// clock.set(noon + Duration::from_secs(3_600));
    /// assert_eq!(clock.now(), noon + Duration::from_secs(3_600));
    /// ```
    #[must_use]
    pub fn manual(time: SystemTime) -> Self {
        Self(Source::Manual(Arc::new(AtomicU64::new(nanos(time)))))
    }

    /// Moves a manual clock, forwards or back. The system's clock is not ours to move: there this does nothing.
    pub fn set(&self, time: SystemTime) {
        if let Source::Manual(at) = &self.0 {
            at.store(nanos(time), Ordering::Relaxed);
        }
    }

    /// The time of day.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    pub fn now(&self) -> SystemTime {
        match &self.0 {
            Source::System => SystemTime::now(),
            Source::Manual(at) => SystemTime::UNIX_EPOCH + Duration::from_nanos(at.load(Ordering::Relaxed)),
        }
    }
}

impl fmt::Debug for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Source::System => "WallClock::SYSTEM",
            Source::Manual(_) => "WallClock::manual",
        })
    }
}

/// Nanoseconds since 1970, cut to what 64 bits hold (1970 to 2554).
fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
