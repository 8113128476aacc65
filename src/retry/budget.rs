//! How many retries all calls together may make.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use crate::vocab::{Problem, Ratio, Setting};

/// A share of all calls, and some per second besides, for services with few calls.
///
/// When Stripe is well, one retry in a hundred calls is plenty. When it is not, every call wants all its retries, and the
/// budget keeps them from multiplying the load: beyond it, calls fail with what they have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetConfig {
    ratio: Ratio,
    per_second: u32,
    max_balance: u32,
    off: bool,
}

impl BudgetConfig {
    /// No limit on retries. For drills, and for clients with so few calls that attempts are limit enough.
    pub const OFF: Self = Self { ratio: Ratio::percent(0), per_second: 0, max_balance: 0, off: true };

    /// The largest balance that can be set.
    pub const MAX_BALANCE: u32 = 16_000;

    /// A retry for this share of calls.
    #[must_use]
    pub const fn ratio(mut self, ratio: Ratio) -> Self {
        self.ratio = ratio;
        self.off = false;
        self
    }

    /// So many retries a second, whatever the number of calls.
    #[must_use]
    pub const fn per_second(mut self, retries: u32) -> Self {
        self.per_second = retries;
        self.off = false;
        self
    }

    /// At most so many retries are saved up; a new budget has them all.
    #[must_use]
    pub const fn max_balance(mut self, retries: u32) -> Self {
        self.max_balance = retries;
        self.off = false;
        self
    }

    pub(super) fn settings(&self) -> Vec<Setting> {
        if self.off {
            return vec![Setting::new("budget", "off")];
        }
        vec![
            Setting::new("budget.ratio", self.ratio),
            Setting::new("budget.per_second", self.per_second),
            Setting::new("budget.max_balance", self.max_balance),
        ]
    }

    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        if self.off {
            return;
        }
        if self.ratio > Ratio::percent(100) {
            problems.push(Setting::new("budget.ratio", self.ratio).must_be("at most 100 %"));
        }
        if self.max_balance == 0 || self.max_balance > Self::MAX_BALANCE {
            problems.push(Setting::new("budget.max_balance", self.max_balance).must_be("from 1 to 16000"));
        }
        if self.per_second > self.max_balance {
            problems.push(
                Setting::new("budget.per_second", self.per_second)
                    .must_be_towards("at most", Setting::new("budget.max_balance", self.max_balance)),
            );
        }
    }
}

impl Default for BudgetConfig {
    fn default() -> Self {
        Self { ratio: Ratio::percent(10), per_second: 1, max_balance: 100, off: false }
    }
}

/// A thousandth of a retry is the unit of account.
const RETRY: u64 = 1_000;

/// The balance at a time: the engine, without clock or sharing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Account {
    /// In thousandths of a retry.
    balance: u64,
    /// In milliseconds since the budget was made.
    at: u64,
}

impl Account {
    /// One step, however long the idle period before: what has accrued is a product, not a loop.
    const fn refill(self, config: &BudgetConfig, now: u64) -> Self {
        let idle = now.saturating_sub(self.at);
        // A retry per second is a thousandth of a retry per millisecond.
        let accrued = idle.saturating_mul(config.per_second as u64);
        let at = if now > self.at { now } else { self.at };
        Self { balance: self.balance, at }.add(config, accrued)
    }

    const fn add(self, config: &BudgetConfig, amount: u64) -> Self {
        let cap = config.max_balance as u64 * RETRY;
        let sum = self.balance.saturating_add(amount);
        Self { balance: if sum < cap { sum } else { cap }, at: self.at }
    }

    const fn take_retry(self) -> Option<Self> {
        match self.balance.checked_sub(RETRY) {
            Some(balance) => Some(Self { balance, at: self.at }),
            None => None,
        }
    }

    /// 24 bits of balance (16,777 retries), 40 bits of time (34 years).
    const fn pack(self) -> u64 {
        self.at << 24 | self.balance
    }

    const fn unpack(packed: u64) -> Self {
        Self { balance: packed & 0xff_ffff, at: packed >> 24 }
    }
}

/// The shared account: one atomic.
#[derive(Debug)]
pub(super) struct Budget {
    config: BudgetConfig,
    opened: Instant,
    account: AtomicU64,
}

impl Budget {
    pub(super) fn new(config: BudgetConfig, now: Instant) -> Self {
        let account = Account { balance: u64::from(config.max_balance) * RETRY, at: 0 };
        Self { config, opened: now, account: AtomicU64::new(account.pack()) }
    }

    /// A call was made.
    pub(super) fn deposit(&self, now: Instant) {
        self.update(now, |account| {
            Some(account.add(&self.config, u64::from(self.config.ratio.as_permille())))
        });
    }

    /// Takes a retry, if there is one. Give it [`back`](Self::refund) if it was not made.
    pub(super) fn withdraw(&self, now: Instant) -> bool {
        self.config.off || self.update(now, Account::take_retry)
    }

    /// Puts a retry back that was not made.
    pub(super) fn refund(&self, now: Instant) {
        self.update(now, |account| Some(account.add(&self.config, RETRY)));
    }

    /// The share of the largest balance that is left; `None` without a limit.
    pub(super) fn available(&self, now: Instant) -> Option<f64> {
        let max = (!self.config.off).then(|| f64::from(self.config.max_balance) * RETRY as f64)?;
        let account = Account::unpack(self.account.load(Ordering::Relaxed));
        Some(account.refill(&self.config, self.at(now)).balance as f64 / max)
    }

    fn at(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.opened).as_millis().min((1 << 40) - 1) as u64
    }

    fn update(&self, now: Instant, step: impl Fn(Account) -> Option<Account>) -> bool {
        if self.config.off {
            return true;
        }
        let now = self.at(now);
        self.account
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |packed| {
                step(Account::unpack(packed).refill(&self.config, now)).map(Account::pack)
            })
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::vocab::time;

    fn drain(budget: &Budget, now: Instant) -> u32 {
        (0..).take_while(|_| budget.withdraw(now)).count() as u32
    }

    #[test]
    fn a_tenth_of_the_calls_may_be_retried() {
        let now = time::now();
        let budget = Budget::new(BudgetConfig::default(), now);
        assert_eq!(drain(&budget, now), 100);
        (0..1_000).for_each(|_| budget.deposit(now));
        assert_eq!(drain(&budget, now), 100);
        (0..99).for_each(|_| budget.deposit(now));
        assert_eq!(drain(&budget, now), 9);
        budget.deposit(now);
        assert_eq!(drain(&budget, now), 1, "what was left over counts on");
    }

    #[test]
    fn thirty_idle_days_are_one_step_and_fill_it_once() {
        let now = time::now();
        let budget = Budget::new(BudgetConfig::default(), now);
        drain(&budget, now);
        let later = now + Duration::from_secs(30 * 86_400);
        // The same step in isolation: a closed form, so the idle time cannot show in the work it takes.
        let account = Account { balance: 0, at: 0 }.refill(&BudgetConfig::default(), 30 * 86_400_000);
        assert_eq!(account.balance, 100 * RETRY);
        assert_eq!(drain(&budget, later), 100);
    }

    #[test]
    fn a_clock_that_stands_still_or_steps_back_gives_nothing() {
        let now = time::now() + Duration::from_secs(60);
        let budget = Budget::new(BudgetConfig::default(), now);
        drain(&budget, now);
        assert!(!budget.withdraw(now - Duration::from_secs(30)));
        assert!(budget.withdraw(now + Duration::from_secs(1)));
        assert!(!budget.withdraw(now + Duration::from_secs(1)));
    }

    #[test]
    fn a_refund_is_one_retry() {
        let now = time::now();
        let budget = Budget::new(BudgetConfig::default(), now);
        drain(&budget, now);
        budget.refund(now);
        assert_eq!(drain(&budget, now), 1);
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Deposit,
        Withdraw,
        Idle(u64),
    }

    proptest! {
        /// Against a model that counts in floating point, second by second.
        #[test]
        fn the_balance_equals_a_naive_models(
            per_second in 0_u32..20, percent in 0_u8..=100, max in 20_u32..200,
            steps in prop::collection::vec(prop_oneof![
                Just(Step::Deposit), Just(Step::Withdraw), (0_u64..5_000).prop_map(Step::Idle),
            ], 0..200),
        ) {
            let config = BudgetConfig::default().ratio(Ratio::percent(percent)).per_second(per_second).max_balance(max);
            let mut now = time::now();
            let budget = Budget::new(config, now);
            let mut model = i64::from(max) * 1_000;
            for step in steps {
                match step {
                    Step::Deposit => {
                        budget.deposit(now);
                        model += i64::from(percent) * 10;
                    }
                    Step::Withdraw => {
                        prop_assert_eq!(budget.withdraw(now), model >= 1_000);
                        if model >= 1_000 { model -= 1_000; }
                    }
                    Step::Idle(millis) => {
                        now += Duration::from_millis(millis);
                        model += (millis * u64::from(per_second)) as i64;
                    }
                }
                model = model.min(i64::from(max) * 1_000);
            }
        }
    }
}
