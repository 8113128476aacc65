use super::*;
use crate::governor::bucket::SECOND;

fn holding(limit: Option<u32>, used: u32) -> Slots {
    let mut slots = Slots::new(limit);
    (0..used).for_each(|_| slots.take());
    slots
}

#[test]
fn a_part_is_left_for_others_but_never_all() {
    let fifth = Some(Ratio::percent(20));
    assert!(holding(Some(100), 79).has_one(fifth, 0) && !holding(Some(100), 80).has_one(fifth, 0));
    assert!(holding(Some(100), 99).has_one(None, 0) && !holding(Some(100), 100).has_one(None, 0));
    let all = Some(Ratio::percent(100));
    assert!(holding(Some(100), 0).has_one(all, 0) && !holding(Some(100), 1).has_one(all, 0));
    assert!(holding(Some(1), 0).has_one(fifth, 0));
    assert!(holding(None, 10_000).has_one(fifth, 0));
    assert_eq!(
        [(10, 20), (3, 20), (5, 20), (2, 100)].map(|(all, of)| kept(all, Ratio::percent(of))),
        [2, 0, 1, 1]
    );
}

#[test]
fn too_many_at_once_halves_what_is_in_flight_and_that_grows_back() {
    let mut slots = holding(Some(100), 40);
    slots.lower(1, 2);
    assert_eq!(slots.limit(2), Some(20));
    slots.lower(2, 3);
    assert_eq!(slots.limit(3), Some(20));
    assert_eq!(slots.limit(2 + 30 * SECOND), Some(59));
    assert_eq!(slots.limit(3 + 60 * SECOND), Some(100));
    assert_eq!(slots.grows_at(3 + 60 * SECOND), None);
    let at = slots.grows_at(3).expect("it grows");
    assert_eq!((slots.limit(at - 2), slots.limit(at)), (Some(20), Some(21)));
}

#[test]
fn at_least_one_may_go_and_no_storm_allows_more() {
    let mut slots = holding(Some(10), 1);
    slots.lower(1, 1);
    assert_eq!(slots.limit(1), Some(1));
    (0..50).for_each(|_| slots.take());
    slots.lower(2, 2);
    assert_eq!(slots.limit(2), Some(1));
}

#[test]
fn what_had_no_limit_has_none_again() {
    let mut slots = holding(None, 8);
    slots.lower(1, 1);
    assert_eq!(slots.limit(1), Some(4));
    assert_eq!(slots.limit(1 + 60 * SECOND), None);
}
