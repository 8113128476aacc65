use proptest::prelude::*;

use super::*;
use crate::vocab::time;

fn refund() -> Operation {
    Operation::new("refunds.create").unwrap()
}

const fn subject(place: u64, key: u64) -> Subject {
    Subject { place, key }
}

fn after(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn what_is_pending_is_so_until_it_is_known() {
    let now = time::now();
    let mut pending = Pending::new(8);
    assert_eq!(pending.add(subject(1, 1), refund(), now), None);
    assert_eq!(pending.add(subject(1, 1), refund(), now + after(5)), None, "the same key once more");
    assert_eq!(pending.add(subject(2, 1), refund(), now + after(1)), None, "the same key of somebody else");
    assert_eq!(pending.calls()[Class::Money.index()], 3);
    assert_eq!(pending.oldest(), Some(now), "since the first of them");
    let resolved = Resolved { class: Class::Money, how: How::Executed, calls: 2 };
    assert_eq!(pending.resolve(subject(1, 1), How::Executed, now), Some(resolved));
    assert_eq!(pending.resolve(subject(1, 1), How::Executed, now), None, "it is known already");
    assert_eq!(pending.entries(), [Entry { operation: refund(), since: now + after(1), calls: 1 }]);
}

#[test]
fn somebody_may_know_a_key_whatever_the_account_or_all_of_them() {
    let now = time::now();
    let mut pending = Pending::new(8);
    for (account, key) in [(1, 1), (2, 1), (1, 2), (1, 3)] {
        pending.add(subject(account, key), refund(), now);
    }
    assert_eq!(pending.resolve_all(Some(1), How::Told).len(), 2);
    assert_eq!(pending.resolve_all(None, How::Told).len(), 2);
    assert!(pending.is_empty() && pending.oldest().is_none());
}

#[test]
fn a_key_that_stripe_has_forgotten_tells_nothing_any_more() {
    let now = time::now();
    let v2 = Operation::all().find(|operation| operation.api_version() == ApiVersion::V2).unwrap();
    let mut pending = Pending::new(8);
    pending.add(subject(1, 1), refund(), now);
    pending.add(subject(1, 2), v2, now);
    assert!(pending.expire(now + after(86_399)).is_empty());
    let day = pending.expire(now + after(86_400));
    assert_eq!(day, [Resolved { class: Class::Money, how: How::Expired, calls: 1 }]);
    assert!(pending.expire(now + after(30 * 86_400 - 1)).is_empty());
    assert_eq!(pending.expire(now + after(30 * 86_400)).len(), 1);
}

/// Also where nobody looked in between.
#[test]
fn what_has_expired_is_neither_resolved_nor_joined_by_a_later_call() {
    let (now, day) = (time::now(), after(86_400));
    let mut pending = Pending::new(2);
    pending.add(subject(1, 1), refund(), now);
    pending.add(subject(1, 2), refund(), now);
    let expired = Some(Resolved { class: Class::Money, how: How::Expired, calls: 1 });
    assert_eq!(pending.resolve(subject(1, 1), How::Executed, now + day), expired);
    assert_eq!(pending.add(subject(1, 2), refund(), now + day), expired);
    assert_eq!(pending.entries(), [Entry { operation: refund(), since: now + day, calls: 1 }]);
}

#[test]
fn when_there_are_too_many_the_oldest_goes() {
    let now = time::now();
    let mut pending = Pending::new(2);
    pending.add(subject(1, 1), refund(), now + after(1));
    pending.add(subject(1, 2), refund(), now);
    let gone = pending.add(subject(1, 3), refund(), now + after(2));
    assert_eq!(gone, Some(Resolved { class: Class::Money, how: How::Displaced, calls: 1 }));
    assert_eq!(pending.oldest(), Some(now + after(1)));
    assert_eq!(pending.add(subject(1, 1), refund(), now + after(3)), None, "there is room for what is there");
}

#[test]
fn every_word_has_its_place() {
    let words = [How::Executed, How::Rejected, How::Told, How::Expired, How::Displaced];
    for (how, word) in words.into_iter().zip(metric::RESOLUTIONS) {
        assert_eq!(format!("{how:?}").to_lowercase(), word);
        assert_eq!(metric::RESOLUTIONS[how.index()], word);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Add(u64, u64),
    Resolve(u64, u64),
    ResolveKey(u64),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3_u64, 0..6_u64).prop_map(|(account, key)| Step::Add(account, key)),
        2 => (0..3_u64, 0..6_u64).prop_map(|(account, key)| Step::Resolve(account, key)),
        1 => (0..6_u64).prop_map(Step::ResolveKey),
        1 => (0..40_000_u64).prop_map(Step::Pass),
    ]
}

proptest! {
    /// Whatever happens, what was unknown is pending or was resolved, and there are never too many.
    #[test]
    fn unknown_less_resolved_is_pending(steps in prop::collection::vec(step(), 0..200)) {
        let mut now = time::now();
        let mut pending = Pending::new(5);
        let (mut unknown, mut known) = (0, 0);
        for step in steps {
            let resolved = match step {
                Step::Add(account, key) => {
                    unknown += 1;
                    pending.add(subject(account, key), refund(), now).into_iter().collect()
                }
                Step::Resolve(account, key) => {
                    pending.resolve(subject(account, key), How::Rejected, now).into_iter().collect()
                }
                Step::ResolveKey(key) => pending.resolve_all(Some(key), How::Told),
                Step::Pass(seconds) => {
                    now += after(seconds);
                    pending.expire(now)
                }
            };
            known += resolved.iter().map(|resolved| resolved.calls).sum::<u64>();
            prop_assert_eq!(unknown - known, pending.calls().iter().sum::<u64>());
            prop_assert!(pending.entries().len() <= 5);
            prop_assert_eq!(pending.is_empty(), pending.oldest().is_none());
        }
    }
}
