//! What can happen to a connection.

use std::{num::NonZeroU64, time::Duration};

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From the client to the upstream: requests.
    ToUpstream,
    /// From the upstream to the client: answers.
    ToClient,
}

/// When a [`Fault`] strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Point {
    /// As soon as the connection is accepted. The upstream never hears of it. A client on another thread may meet a reset
    /// before it knows that it is connected, and then reports that connecting failed.
    Start,
    /// In place of the byte with this number, counted from 0: the bytes before it pass, and the fault strikes when it
    /// arrives. At byte 0 [`ToClient`](Direction::ToClient) the answer is ready, and none of it gets through.
    Byte(Direction, u64),
    /// When the first HTTP/1.1 response, 1xx aside, has passed to its last byte. It never strikes where the upstream
    /// speaks anything else, TLS included, nor if the response ends with the connection; there, use
    /// [`FaultProxy::reset_all`](super::FaultProxy::reset_all). A response to HEAD is taken to have a body.
    AfterResponse,
    /// When the client speaks again after the upstream has begun to answer; nothing of that passes. On HTTP/1.1 without
    /// TLS it is the second request: the race for a pooled connection.
    NextRequest,
}

/// One way for a connection to suffer.
///
/// | fault | what the client sees | what the upstream sees |
/// |---|---|---|
/// | `None` | nothing unusual | the same |
/// | `Link` | the bytes, late or slowly | the same |
/// | `Reset` | the bytes before, then `ECONNRESET` | the bytes before, then the same |
/// | `Cut` | the bytes before, then an orderly end | the bytes before, then the same |
/// | `HalfClose` | to the client: the bytes before, then an orderly end; what it sends still arrives | nothing |
/// | `SlowClose` | the end comes late | the same, in its direction |
/// | `Stall` | to the client: the bytes before, then silence | nothing |
/// | `TlsHang` | its bytes are taken, none comes back | no connection |
/// | `TlsAlert` | a fatal alert, then the end | no connection |
/// | `TlsGarbage` | bytes that are neither TLS nor HTTP, then the end | no connection |
///
/// The faults of one direction do to the upstream what they do to the client if the direction is the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// None at all.
    None,
    /// The connection runs over this link instead of the plan's.
    Link(Link),
    /// Both sides are reset (RST).
    Reset(Point),
    /// Both sides are closed in order (FIN). What they still send is taken and dropped, for a socket that is closed with
    /// bytes unread would send a reset instead; they count as live until they close as well.
    Cut(Point),
    /// One direction is closed in order (FIN), in place of the byte `at`. What its sender still sends is taken and
    /// dropped; the other direction goes on.
    HalfClose {
        /// Which direction.
        direction: Direction,
        /// At which byte, as in [`Point::Byte`].
        at: u64,
    },
    /// The close (FIN) of one direction is handed on late.
    SlowClose {
        /// Which direction.
        direction: Direction,
        /// How late.
        delay: Duration,
    },
    /// One direction stops in place of the byte `at`, and the proxy takes no more than its window of 64 KiB. It goes on
    /// after [`FaultProxy::release`](super::FaultProxy::release) or after `limit`. If the client closes, the connection
    /// ends.
    Stall {
        /// Which direction.
        direction: Direction,
        /// At which byte, as in [`Point::Byte`].
        at: u64,
        /// How long at most; `None` is no limit.
        limit: Option<Duration>,
    },
    /// The handshake hangs: what the client sends is taken and never answered. After
    /// [`FaultProxy::release`](super::FaultProxy::release) or `limit` the connection is closed.
    TlsHang {
        /// How long at most; `None` is no limit.
        limit: Option<Duration>,
    },
    /// The `ClientHello` is answered with this fatal alert (RFC 8446, section 6): 40 is `handshake_failure`, 70
    /// `protocol_version`, 112 `unrecognized_name`, 80 `internal_error`.
    TlsAlert(u8),
    /// The `ClientHello` is answered with garbage.
    TlsGarbage,
}

impl Fault {
    /// Which of the faults this is; `None` for [`Fault::None`].
    #[must_use]
    pub fn kind(self) -> Option<FaultKind> {
        Some(match self {
            Self::None => return None,
            Self::Link(_) => FaultKind::Link,
            Self::Reset(_) => FaultKind::Reset,
            Self::Cut(_) => FaultKind::Cut,
            Self::HalfClose { .. } => FaultKind::HalfClose,
            Self::SlowClose { .. } => FaultKind::SlowClose,
            Self::Stall { .. } => FaultKind::Stall,
            Self::TlsHang { .. } => FaultKind::TlsHang,
            Self::TlsAlert(_) => FaultKind::TlsAlert,
            Self::TlsGarbage => FaultKind::TlsGarbage,
        })
    }
}

/// A [`Fault`] without its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the variants are those of `Fault`")]
pub enum FaultKind {
    Link,
    Reset,
    Cut,
    HalfClose,
    SlowClose,
    Stall,
    TlsHang,
    TlsAlert,
    TlsGarbage,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Link,
        Self::Reset,
        Self::Cut,
        Self::HalfClose,
        Self::SlowClose,
        Self::Stall,
        Self::TlsHang,
        Self::TlsAlert,
        Self::TlsGarbage,
    ];
}

/// How fast bytes travel, alike in both directions. The default is as fast as loopback.
///
/// ```
/// use std::{num::NonZeroU64, time::Duration};
///
/// use stripe_sim::proxy::Link;
///
/// let mobile = Link::default()
///     .latency(Duration::from_millis(80))
///     .jitter(Duration::from_millis(40))
///     .bandwidth(NonZeroU64::new(200_000).expect("not zero"));
/// # let _ = mobile;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Link {
    pub(super) latency: Duration,
    pub(super) jitter: Duration,
    pub(super) bandwidth: Option<NonZeroU64>,
}

impl Link {
    /// How long each byte is under way, one way.
    pub fn latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// By how much the latency grows at most, in steps of a millisecond. It is drawn for each run of bytes from the seed,
    /// the connection and the position of the run; bytes never overtake each other.
    pub fn jitter(mut self, jitter: Duration) -> Self {
        self.jitter = jitter;
        self
    }

    /// How many bytes pass per second in each direction.
    pub fn bandwidth(mut self, bytes_per_second: NonZeroU64) -> Self {
        self.bandwidth = Some(bytes_per_second);
        self
    }
}
