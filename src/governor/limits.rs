//! The limits that Stripe publishes, and what of them is used.

use std::{fmt, num::NonZeroU32};

use super::bucket::{Pace, SECOND};
use crate::vocab::{Class, Mode, Operation, Problem, Ratio, Setting};

/// A rule that limits calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Bucket {
    /// All calls of an account, but meter events in live mode.
    Global,
    /// The calls of each operation, if it has no rule of its own.
    EachOperation,
    /// The calls of this operation.
    Operation(Operation),
    /// All searches together.
    Search,
    /// Reading and listing files.
    FilesRead,
    /// Creating files.
    FilesWrite,
    /// Creating payouts.
    PayoutsCreate,
    /// Creating accounts, by API v1 and v2 together.
    AccountsCreate,
    /// Meter events of API v1.
    MeterEvents,
    /// Meter events of API v2.
    MeterEventsV2,
    /// The stream of meter events.
    MeterEventStream,
}

/// What Stripe publishes, per second and at once.
#[derive(Clone, Copy)]
struct Published {
    per_second: Option<u32>,
    in_flight: Option<u32>,
}

const NOTHING: Published = Published { per_second: None, in_flight: None };

const fn rate(per_second: u32) -> Published {
    Published { per_second: Some(per_second), in_flight: None }
}

struct Row {
    bucket: Bucket,
    live: Published,
    sandbox: Published,
    burst: u32,
    /// Whether it stands beside the global limit, in live mode, and so has places in flight of its own.
    apart: bool,
}

const fn row(bucket: Bucket, live: Published, sandbox: Published, burst: u32) -> Row {
    Row { bucket, live, sandbox, burst, apart: false }
}

const fn apart(bucket: Bucket, live: Published) -> Row {
    Row { bucket, live, sandbox: NOTHING, burst: 3, apart: true }
}

/// How many rules there are for more than one operation, or instead of an operation's own.
pub(super) const RULES: usize = 9;

/// Everything in force by default: 90 % of these. Where two columns of numbers stand, the second is the sandbox's.
static TABLE: [Row; RULES + 1] = [
    // 100 requests per second in live mode, 25 in a sandbox (Stripe's guide to rate limits). The burst is ours.
    row(Bucket::Global, rate(100), rate(25), 10),
    // Search: 20 read requests per second (Stripe's guide to rate limits), over all searches.
    row(Bucket::Search, rate(20), rate(20), 3),
    // Files: 20 read and 20 write requests per second (Stripe's guide to rate limits).
    row(Bucket::FilesRead, rate(20), rate(20), 3),
    row(Bucket::FilesWrite, rate(20), rate(20), 3),
    // 15 requests per second and 30 concurrent requests per business (Stripe's guide to rate limits).
    row(
        Bucket::PayoutsCreate,
        Published { per_second: Some(15), in_flight: Some(30) },
        Published { per_second: Some(15), in_flight: Some(30) },
        3,
    ),
    // 30 account creations per second in live mode, 5 in a sandbox (Stripe's guide to rate limits).
    row(Bucket::AccountsCreate, rate(30), rate(5), 3),
    // 1,000 calls per second in live mode; in a sandbox they count as any other call (Stripe's guide to usage-based billing).
    apart(Bucket::MeterEvents, rate(1_000)),
    // 1,000 events per second in live mode (Stripe's API v2 reference).
    apart(Bucket::MeterEventsV2, rate(1_000)),
    // 10,000 requests per second in live mode (Stripe's API v2 reference).
    apart(Bucket::MeterEventStream, rate(10_000)),
    // 25 requests per second for each operation, unless said otherwise (Stripe's guide to rate limits).
    row(Bucket::EachOperation, rate(25), rate(25), 3),
];

/// What a rule allows, if anything is forbidden at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Allowed {
    pub(super) pace: Option<Pace>,
    pub(super) in_flight: Option<u32>,
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pace {
            Some(pace) => {
                // Intervals are rounded to nanoseconds, which shows in high rates.
                let rate = SECOND as f64 / pace.interval as f64;
                let rate = if rate < 1_000.0 {
                    (rate * 100.0).round() / 100.0
                } else {
                    (rate / 10.0).round() * 10.0
                };
                write!(f, "{rate}/s, burst {}", pace.burst)?;
            }
            None => f.write_str("no rate of its own")?,
        }
        match self.in_flight {
            Some(in_flight) => write!(f, ", {in_flight} in flight"),
            None => Ok(()),
        }
    }
}

/// Which rules an operation is subject to beside its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) global: bool,
    /// The index of its special rule.
    pub(super) special: Option<u16>,
    /// Where in the path the id is of the object that the operation changes.
    pub(super) object: Option<u8>,
    /// Whether it reports an event of API v1, for a customer and a meter.
    pub(super) meter_event: bool,
}

impl Route {
    /// Of an operation that the table does not have.
    pub(super) const OF_OTHER: Self = Self { global: true, special: None, object: None, meter_event: false };

    pub(super) fn of(operation: Operation, mode: Mode) -> Self {
        let special = special(operation);
        let row = special.map(|index| &TABLE[usize::from(index)]);
        let changes = matches!(operation.method(), Some("POST" | "DELETE"));
        let segment = operation.template().split('/').position(|segment| segment.starts_with('{'));
        Self {
            global: !(mode == Mode::Live && row.is_some_and(|row| row.apart)),
            special,
            object: segment.filter(|_| changes).and_then(|segment| u8::try_from(segment).ok()),
            meter_event: row.is_some_and(|row| row.bucket == Bucket::MeterEvents),
        }
    }

    /// Whether what is subject to this rule is not subject to the global one.
    pub(super) fn stands_apart(rule: usize, mode: Mode) -> bool {
        mode == Mode::Live && TABLE[rule].apart
    }
}

fn special(operation: Operation) -> Option<u16> {
    let bucket = match operation.name() {
        "files.retrieve" | "files.list" => Bucket::FilesRead,
        "files.create" => Bucket::FilesWrite,
        "payouts.create" => Bucket::PayoutsCreate,
        "accounts.create" | "v2.core.accounts.create" => Bucket::AccountsCreate,
        "billing.meter_events.create" => Bucket::MeterEvents,
        "v2.billing.meter_events.create" => Bucket::MeterEventsV2,
        "v2.billing.meter_event_stream.create" => Bucket::MeterEventStream,
        _ if operation.class() == Class::Search => Bucket::Search,
        _ => return None,
    };
    (0..).zip(&TABLE).find_map(|(index, row)| (row.bucket == bucket).then_some(index))
}

/// What one rule allows, instead of what is allowed by default.
///
/// ```
/// use std::num::NonZeroU32;
/// use tower_stripe::governor::Limit;
///
/// let fifty = Limit::per_second(NonZeroU32::new(50).expect("not zero")).burst(5).in_flight(20);
/// # let _ = (fifty, Limit::UNLIMITED);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    per_second: Option<NonZeroU32>,
    burst: Option<u32>,
    in_flight: Option<u32>,
}

impl Limit {
    /// As many calls a second as there may be. How many may be in flight stays as it is by default.
    pub const UNLIMITED: Self = Self { per_second: None, burst: None, in_flight: None };

    /// So many calls a second.
    #[must_use]
    pub const fn per_second(calls: NonZeroU32) -> Self {
        Self { per_second: Some(calls), burst: None, in_flight: None }
    }

    /// So many calls at once after a pause: from 2 on, since a timer wakes up to a millisecond late. Default: 10 for the
    /// global rule, 3 for any other, or what comes in 5 ms if that is more.
    #[must_use]
    pub const fn burst(mut self, calls: u32) -> Self {
        self.burst = Some(calls);
        self
    }

    pub(super) const fn sets_in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    /// So many calls in flight. Default: as without this limit.
    #[must_use]
    pub const fn in_flight(mut self, calls: u32) -> Self {
        self.in_flight = Some(calls);
        self
    }
}

/// The most that is counted: beyond, there is no point in limiting.
const MAX_RATE: u32 = 1_000_000;
const MAX_BURST: u32 = 1_000_000;
/// The slowest pace.
const MAX_INTERVAL: u64 = 3_600 * SECOND;

/// All limits in force.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    pub(super) share: Ratio,
    pub(super) replicas: NonZeroU32,
    pub(super) max_in_flight: Option<u32>,
    overrides: Vec<(Mode, Bucket, Limit)>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            share: Ratio::percent(90),
            replicas: NonZeroU32::MIN,
            max_in_flight: None,
            overrides: Vec::new(),
        }
    }
}

impl Limits {
    const IN_FLIGHT: u32 = 100;

    pub(super) fn replace(&mut self, mode: Mode, bucket: Bucket, limit: Limit) {
        self.overrides.retain(|(m, b, _)| (*m, *b) != (mode, bucket));
        self.overrides.push((mode, bucket, limit));
    }

    /// What the rule with this index allows.
    pub(super) fn of_rule(&self, mode: Mode, index: usize) -> Allowed {
        let row = &TABLE[index];
        self.resolve(mode, row, self.given(mode, row.bucket))
    }

    /// What the own rule of an operation allows.
    pub(super) fn of_operation(&self, mode: Mode, operation: Operation) -> Allowed {
        let given = self.given(mode, Bucket::Operation(operation));
        let each = &TABLE[RULES];
        if given.is_none() && is_replaced(operation, mode) {
            return Allowed { pace: None, in_flight: None };
        }
        self.resolve(mode, each, given.or_else(|| self.given(mode, Bucket::EachOperation)))
    }

    /// What is in force, rule by rule, with those that were set for one operation.
    pub(super) fn settings(&self) -> Vec<Setting> {
        let mut settings = vec![Setting::new("share", self.share), Setting::new("replicas", self.replicas)];
        for (name, mode) in [("live limit", Mode::Live), ("sandbox limit", Mode::Sandbox)] {
            let rules =
                TABLE.iter().map(|row| (row.bucket, self.resolve(mode, row, self.given(mode, row.bucket))));
            let operations = self.overrides.iter().filter(|(m, ..)| *m == mode).filter_map(
                |(_, bucket, _)| match bucket {
                    Bucket::Operation(operation) => Some((*bucket, self.of_operation(mode, *operation))),
                    _ => None,
                },
            );
            settings.extend(
                rules
                    .chain(operations)
                    .map(|(bucket, allowed)| Setting::new(name, format_args!("{bucket}, {allowed}"))),
            );
        }
        settings
    }

    fn given(&self, mode: Mode, bucket: Bucket) -> Option<Limit> {
        self.overrides.iter().find(|(m, b, _)| (*m, *b) == (mode, bucket)).map(|(.., limit)| *limit)
    }

    fn resolve(&self, mode: Mode, row: &Row, given: Option<Limit>) -> Allowed {
        let published = if mode == Mode::Live { row.live } else { row.sandbox };
        let (rate, share) = match given {
            Some(limit) => (limit.per_second.map(NonZeroU32::get), 1_000),
            None => (published.per_second, self.share.as_permille()),
        };
        let pace = rate.map(|rate| {
            let usual = row.burst.div_ceil(self.replicas.get()).max(2);
            let ticks = rate.div_ceil(200).div_ceil(self.replicas.get());
            let burst = given.and_then(|limit| limit.burst).unwrap_or(usual.max(ticks));
            Pace {
                interval: self.interval(rate, share),
                burst: NonZeroU32::new(burst.min(MAX_BURST)).unwrap_or(NonZeroU32::MIN),
            }
        });
        let in_flight = match (given.and_then(|limit| limit.in_flight), published.in_flight) {
            (Some(given), _) => Some(self.part(given, 1_000)),
            (None, Some(published)) => Some(self.part(published, self.share.as_permille())),
            (None, None) if row.bucket == Bucket::Global || row.apart && mode == Mode::Live => {
                Some(self.max_in_flight.unwrap_or(Self::IN_FLIGHT))
            }
            (None, None) => None,
        };
        Allowed { pace, in_flight }
    }

    /// Nanoseconds from one call to the next, rounded up: never faster than allowed.
    fn interval(&self, rate: u32, share: u16) -> u64 {
        let time = u128::from(SECOND) * 1_000 * u128::from(self.replicas.get());
        let calls = (u128::from(rate) * u128::from(share)).max(1);
        u64::try_from(time.div_ceil(calls)).unwrap_or(u64::MAX).max(1)
    }

    fn part(&self, of: u32, share: u16) -> u32 {
        let part = u64::from(of) * u64::from(share) / 1_000 / u64::from(self.replicas.get());
        u32::try_from(part).unwrap_or(u32::MAX).max(1)
    }

    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        if self.share.as_permille() == 0 {
            problems.push(Setting::new("share", self.share).must_be("more than 0 %"));
        } else if self.share > Ratio::percent(100) {
            problems.push(Setting::new("share", self.share).must_be("at most 100 %"));
        } else if TABLE.iter().flat_map(|row| [row.live, row.sandbox]).any(|published| {
            published
                .per_second
                .is_some_and(|rate| self.interval(rate, self.share.as_permille()) > MAX_INTERVAL)
        }) {
            problems.push(Setting::new("replicas", self.replicas).must_be_towards(
                "so few that each may call once an hour, with",
                Setting::new("share", self.share),
            ));
        }
        if self.max_in_flight == Some(0) {
            problems.push(Setting::new("max_in_flight", 0).must_be("more than zero"));
        }
        let mut seen: Vec<(Bucket, Limit)> = Vec::new();
        for (mode, bucket, limit) in &self.overrides {
            // What was said for both modes is wrong only once.
            if seen.contains(&(*bucket, *limit)) {
                continue;
            }
            seen.push((*bucket, *limit));
            self.check_limit(*mode, *bucket, *limit, problems);
        }
    }

    fn check_limit(&self, mode: Mode, bucket: Bucket, limit: Limit, problems: &mut Vec<Problem>) {
        let of = |what: &dyn fmt::Display| format!("{what} ({bucket}, {})", mode.as_str());
        if let Some(rate) = limit.per_second {
            let setting = Setting::new("per_second", of(&rate));
            if rate.get() > MAX_RATE {
                problems.push(setting.must_be("at most 1000000; or say Limit::UNLIMITED"));
            } else if self.interval(rate.get(), 1_000) > MAX_INTERVAL {
                problems.push(setting.must_be_towards(
                    "at least one call an hour for each, with",
                    Setting::new("replicas", self.replicas),
                ));
            }
        }
        match limit.burst {
            Some(burst @ (0 | 1)) => {
                problems.push(Setting::new("burst", of(&burst)).must_be("at least 2"));
            }
            Some(burst) if burst > MAX_BURST => {
                problems.push(Setting::new("burst", of(&burst)).must_be("at most 1000000"));
            }
            _ => {}
        }
        match (limit.in_flight, self.max_in_flight) {
            (Some(0), _) => problems.push(Setting::new("in_flight", of(&0)).must_be("more than zero")),
            (Some(given), Some(max)) if bucket == Bucket::Global && given != max => problems.push(
                Setting::new("in_flight", of(&given))
                    .must_be_towards("the same as", Setting::new("max_in_flight", max)),
            ),
            _ => {}
        }
    }
}

/// Whether its special rule stands in place of its own: the published numbers are higher than the general one, or lower.
fn is_replaced(operation: Operation, mode: Mode) -> bool {
    let Some(index) = special(operation) else { return false };
    let row = &TABLE[usize::from(index)];
    !matches!(row.bucket, Bucket::Search | Bucket::FilesRead) && (mode == Mode::Live || !row.apart)
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Global => "global",
            Self::EachOperation => "each_operation",
            Self::Operation(operation) => operation.name(),
            Self::Search => "search",
            Self::FilesRead => "files_read",
            Self::FilesWrite => "files_write",
            Self::PayoutsCreate => "payouts_create",
            Self::AccountsCreate => "accounts_create",
            Self::MeterEvents => "meter_events",
            Self::MeterEventsV2 => "meter_events_v2",
            Self::MeterEventStream => "meter_event_stream",
        })
    }
}

#[cfg(test)]
mod tests;
