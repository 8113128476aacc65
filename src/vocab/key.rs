//! Idempotency keys: what a valid one is, what is known of its past, and how old it may become.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use http::HeaderValue;

use super::{Refusal, time::WallClock};

/// What makes Stripe recognise a repetition of a request. Goes into the extensions of a request.
///
/// Without one in the request, the `idempotency` layer generates one. Bring your own where a call may be repeated by
/// another process or after a restart: the key must then come out the same, so make it of your own ids
/// (`IdempotencyKey::derive`), never of a date.
///
/// `Debug` shows nothing of it: whoever holds a key and the API key can read the stored answer.
///
/// ```
/// use tower_stripe::IdempotencyKey;
///
/// let key = IdempotencyKey::new("order-8812")?;
/// assert_eq!(key.as_str(), "order-8812");
/// assert!(IdempotencyKey::new(" order-8812").is_err());
/// # Ok::<(), tower_stripe::vocab::InvalidKey>(())
/// ```
#[derive(Clone)]
pub struct IdempotencyKey {
    value: Arc<str>,
    history: History,
    born: Option<SystemTime>,
    generated: bool,
}

/// What is known of a key's past.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum History {
    /// No call ever used it before this one.
    Fresh,
    /// An earlier call may have used it, and may still be executing.
    #[default]
    Unknown,
}

impl IdempotencyKey {
    /// The longest key that Stripe takes.
    pub const MAX_LEN: usize = 255;

    /// A key of the caller's.
    ///
    /// # Errors
    /// [`InvalidKey`] when it is empty, longer than 255 characters, has a character that is not printable ASCII, or
    /// begins or ends with a space.
    pub fn new(key: impl AsRef<str>) -> Result<Self, InvalidKey> {
        let key = key.as_ref();
        InvalidKey::check(key.as_bytes())?;
        Ok(Self { value: key.into(), history: History::Unknown, born: None, generated: false })
    }

    /// Takes over a key from a header.
    ///
    /// # Errors
    /// [`InvalidKey`], as for [`new`](Self::new).
    pub fn from_header(value: &HeaderValue) -> Result<Self, InvalidKey> {
        InvalidKey::check(value.as_bytes())?;
        let key = value.to_str().expect("it was checked to be printable ASCII");
        Ok(Self { value: key.into(), history: History::Unknown, born: None, generated: false })
    }

    /// Vouches that no call ever used this key before.
    ///
    /// Only then can a refused call be advised to take a new one ([`Advice::NewKey`](super::Advice::NewKey)). Say it
    /// only of a key that you made for this very call.
    #[must_use]
    pub const fn fresh(mut self) -> Self {
        self.history = History::Fresh;
        self
    }

    /// States when this key was first used, or its order created.
    ///
    /// Stripe forgets a key after a day (v1) or thirty (v2), and would then execute anew. With a birth, a key that is
    /// too old is refused instead of sent.
    #[must_use]
    pub const fn born_at(mut self, time: SystemTime) -> Self {
        self.born = Some(time);
        self
    }

    /// The same key after a call has used it, for the first time at `first`, as far as is known: it is at least that old.
    pub(super) fn used(&self, first: SystemTime) -> Self {
        Self {
            value: Arc::clone(&self.value),
            history: History::Unknown,
            born: self.born.or(Some(first)),
            generated: self.generated,
        }
    }

    /// The same key, of which the stack says that it has made it itself for this call.
    #[cfg(feature = "idempotency")]
    pub(crate) const fn generated(mut self) -> Self {
        self.generated = true;
        self.fresh()
    }

    /// Whether the stack has made it itself.
    #[cfg(feature = "telemetry")]
    pub(crate) const fn is_generated(&self) -> bool {
        self.generated
    }

    /// The same key, of which it has turned out that another call has used it.
    #[cfg(feature = "idempotency")]
    pub(super) const fn not_fresh(&mut self) {
        self.history = History::Unknown;
    }

    /// The key itself. Keep it out of logs.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.value
    }

    /// What is known of its past.
    #[must_use]
    pub const fn history(&self) -> History {
        self.history
    }

    /// When it was first used, if the caller said so.
    #[must_use]
    pub const fn birth(&self) -> Option<SystemTime> {
        self.born
    }
}

/// Two keys are equal if Stripe takes them for the same, whatever is known of their past.
impl PartialEq for IdempotencyKey {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Eq for IdempotencyKey {}

impl Hash for IdempotencyKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.value.hash(state);
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdempotencyKey")
            .field("history", &self.history)
            .field("born", &self.born)
            .finish_non_exhaustive()
    }
}

/// Why a key was refused. It names the rule and the place, never the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InvalidKey {
    /// It has no characters.
    Empty,
    /// It has more than 255 characters.
    TooLong {
        /// How many it has.
        length: usize,
    },
    /// A character is not printable ASCII.
    Character {
        /// Where, counted in bytes from 0.
        position: usize,
    },
    /// It begins or ends with a space, which HTTP would strip.
    SurroundingSpace,
}

impl InvalidKey {
    /// Whether `key` follows the rules.
    pub(super) fn check(key: &[u8]) -> Result<(), Self> {
        if key.is_empty() {
            return Err(Self::Empty);
        }
        if key.len() > IdempotencyKey::MAX_LEN {
            return Err(Self::TooLong { length: key.len() });
        }
        if let Some(position) = key.iter().position(|byte| !(b' '..=b'~').contains(byte)) {
            return Err(Self::Character { position });
        }
        if key.first() == Some(&b' ') || key.last() == Some(&b' ') {
            return Err(Self::SurroundingSpace);
        }
        Ok(())
    }
}

impl fmt::Display for InvalidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the idempotency key is empty"),
            Self::TooLong { length } => {
                write!(
                    f,
                    "the idempotency key has {length} characters, more than {}",
                    IdempotencyKey::MAX_LEN
                )
            }
            Self::Character { position } => {
                write!(
                    f,
                    "the idempotency key has a character that is not printable ASCII at position {position}"
                )
            }
            Self::SurroundingSpace => f.write_str("the idempotency key begins or ends with a space"),
        }
    }
}

impl std::error::Error for InvalidKey {}

/// The wall clock may differ by so much from one reading to the next before it counts as having stepped back.
const SLACK: Duration = Duration::from_secs(60);

/// How old a key is, by the worse of two clocks.
///
/// The monotonic clock does not run while a machine is suspended; the wall clock can be set. So the age is the larger of
/// what both say, and a wall clock that has stepped back since the key was first seen, or a birth in the future,
/// leaves no age that one could trust: [`Age::Unknowable`].
#[derive(Clone, Debug)]
pub struct KeyClock {
    wall: WallClock,
    seen: Instant,
    seen_wall: SystemTime,
    birth: Option<SystemTime>,
    limit: Duration,
}

/// The age of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// At least this old.
    Of(Duration),
    /// The clocks contradict each other.
    Unknowable,
}

impl KeyClock {
    /// Begins to measure at `now`: `birth` is when the key was first used, if that is known, and `limit` the age from
    /// which on it must not be sent.
    #[must_use]
    pub fn start(wall: WallClock, now: Instant, birth: Option<SystemTime>, limit: Duration) -> Self {
        let seen_wall = wall.now();
        Self { wall, seen: now, seen_wall, birth, limit }
    }

    /// The age at `now`.
    #[must_use]
    pub fn age(&self, now: Instant) -> Age {
        let wall = self.wall.now();
        if wall + SLACK < self.seen_wall {
            return Age::Unknowable;
        }
        let here = now.saturating_duration_since(self.seen);
        let by_wall = wall.duration_since(self.seen_wall).unwrap_or(Duration::ZERO);
        let Some(birth) = self.birth else { return Age::Of(here.max(by_wall)) };
        if wall + SLACK < birth {
            return Age::Unknowable;
        }
        let before = self.seen_wall.duration_since(birth).unwrap_or(Duration::ZERO);
        Age::Of(before.saturating_add(here.max(by_wall)))
    }

    /// When this call saw the key first.
    pub(super) const fn first_use(&self) -> SystemTime {
        self.seen_wall
    }

    /// The age from which on the key is refused.
    #[must_use]
    pub const fn limit(&self) -> Duration {
        self.limit
    }

    /// `Ok` if the key may be sent at `now`.
    ///
    /// # Errors
    /// [`Refusal::KeyTooOld`].
    pub fn check(&self, now: Instant) -> Result<(), Refusal> {
        match self.age(now) {
            Age::Of(age) if age < self.limit => Ok(()),
            Age::Of(age) => Err(Refusal::KeyTooOld { age: Some(age), limit: self.limit }),
            Age::Unknowable => Err(Refusal::KeyTooOld { age: None, limit: self.limit }),
        }
    }

    /// Whether the key may no longer be sent at `now`.
    #[must_use]
    pub fn expired(&self, now: Instant) -> bool {
        self.check(now).is_err()
    }
}

#[cfg(test)]
mod tests;
