use http::HeaderMap;

use super::*;
use crate::governor::account::{Admission, Call};

fn credential(i: usize) -> Credential {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", format!("Bearer sk_live_{i}").parse().expect("a header"));
    Credential::of(&headers)
}

fn core() -> Core {
    Core::new(GovernorConfig::default())
}

fn occupy(account: &Shared, now: Tick) {
    let operation = Operation::new("balance.retrieve").expect("an operation");
    let call = Call {
        operation,
        route: Route::of(operation, Mode::Live),
        priority: operation.priority(),
        deadline: Tick::MAX,
        object: None,
        alone: false,
        probe: false,
    };
    assert!(matches!(enter(account, |account| account.admit(&call, now)), Admission::Now(_)));
}

#[test]
fn a_credential_has_an_account_for_each_mode_and_always_the_same() {
    let core = core();
    let live = core.account(credential(1), Mode::Live, 0);
    assert!(Arc::ptr_eq(&live, &core.account(credential(1), Mode::Live, 0)));
    assert!(!Arc::ptr_eq(&live, &core.account(credential(1), Mode::Sandbox, 0)));
    let other = core.account(credential(2), Mode::Live, 0);
    assert!(!Arc::ptr_eq(&live, &other));
    assert!(Arc::ptr_eq(&other, &core.account(credential(2), Mode::Live, 0)));
    assert_eq!(core.all().len(), 3);
}

#[test]
fn who_comes_when_all_are_busy_shares_an_account() {
    let core = core();
    for i in 0..MAX_ACCOUNTS {
        occupy(&core.account(credential(i), Mode::Live, 0), 0);
    }
    let late = 1_000 * SECOND;
    let first = core.account(credential(1_000), Mode::Live, late);
    assert!(Arc::ptr_eq(&first, &core.account(credential(1_001), Mode::Live, late)));
    assert!(!Arc::ptr_eq(&first, &core.account(credential(1_002), Mode::Sandbox, late)));
    for i in 0..5_000 {
        core.account(credential(2_000 + i), Mode::Live, late + i as u64 * SECOND);
    }
    assert_eq!(core.all().len(), MAX_ACCOUNTS + 2);
}

#[test]
fn idle_accounts_make_room_but_never_busy_ones() {
    let core = core();
    let busy = core.account(credential(7), Mode::Live, 0);
    occupy(&busy, 0);
    let weak = Arc::downgrade(&busy);
    drop(busy);
    for i in 0..MAX_ACCOUNTS {
        core.account(credential(i), Mode::Live, 0);
    }
    // Too early: what was used of their tokens would be forgotten.
    let fresh = core.account(credential(1_000), Mode::Live, IDLE / 2);
    assert_eq!(core.all().len(), MAX_ACCOUNTS + 1);
    drop(fresh);
    let fresh = core.account(credential(1_001), Mode::Live, 2 * IDLE);
    assert!(!Arc::ptr_eq(&fresh, &core.account(credential(1_002), Mode::Live, 2 * IDLE)));
    let kept = core.account(credential(7), Mode::Live, 2 * IDLE);
    assert!(weak.upgrade().is_some_and(|weak| Arc::ptr_eq(&weak, &kept)));
    assert!(core.all().len() < 10);
}

#[test]
fn other_limits_are_for_accounts_that_are_there_and_for_those_to_come() {
    let core = core();
    let (old, n) = (core.account(credential(1), Mode::Live, 0), std::num::NonZeroU32::MIN);
    let limit = crate::governor::Limit::per_second(n.saturating_add(9));
    let change = |limits: &mut Limits| {
        limits.replace(Mode::Live, crate::governor::Bucket::Global, limit);
        Ok::<(), ()>(())
    };
    assert_eq!(core.replace(0, change), Ok(()));
    let new = core.account(credential(2), Mode::Live, 0);
    for account in [old, new] {
        assert_eq!(enter(&account, |account| account.global_rate(0)), Some(10.0));
    }
    assert_eq!(core.replace(0, |_| Err(())), Err(()));
}
