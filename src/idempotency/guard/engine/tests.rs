use proptest::prelude::*;

use super::*;

const LIFE: Duration = Duration::from_secs(100);

const fn id(n: u8) -> Id {
    [n; 32]
}

fn table(capacity: usize) -> Table<&'static str> {
    Table::new(NonZeroUsize::new(capacity).unwrap())
}

fn at(seconds: u64) -> Instant {
    use std::sync::OnceLock;
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(crate::vocab::time::now) + Duration::from_secs(seconds)
}

fn first(entered: Entered) -> Ticket {
    let Entered::First(ticket, _) = entered else { panic!("{entered:?}") };
    ticket
}

fn wake(next: &'static str) -> Left<&'static str> {
    Left::Wake { next: Some(next), shared: true }
}

fn waits(table: &mut Table<&'static str>, n: u8, waker: &'static str) -> Ticket {
    let Entered::Wait(ticket) = table.enter(at(0), id(n), id(0), LIFE) else { panic!("it should wait") };
    assert_eq!(table.turn(&id(n), ticket, |_| Some(waker)), Turn::Wait(None));
    ticket
}

// === other parameters ===

/// S-27 and S-29
#[test]
fn a_key_that_was_used_is_refused_to_another_request_until_it_is_too_old() {
    for past in [KeyPast::Open, KeyPast::Declined] {
        let mut table = table(9);
        let ticket = first(table.enter(at(0), id(1), id(10), LIFE));
        assert_eq!(table.enter(at(0), id(1), id(11), LIFE), Entered::Reused, "in flight");
        table.leave(&id(1), ticket, past);
        assert_eq!(table.enter(at(99), id(1), id(11), LIFE), Entered::Reused);
        // S-103: not so in another scope.
        assert!(matches!(table.enter(at(99), id(2), id(11), LIFE), Entered::First(_, None)));
        assert!(matches!(table.enter(at(100), id(1), id(11), LIFE), Entered::First(_, None)));
    }
}

/// Stripe keeps nothing of what it refused before it executed it; the caller may correct it.
#[test]
fn a_key_that_came_to_nothing_is_free_for_a_corrected_request() {
    let mut table = table(9);
    let ticket = first(table.enter(at(0), id(1), id(10), LIFE));
    table.leave(&id(1), ticket, KeyPast::Unused);
    assert_eq!(table.size(), (0, 0));
    assert!(matches!(table.enter(at(1), id(1), id(11), LIFE), Entered::First(_, None)));
}

#[test]
fn a_key_that_stripe_has_taken_stays_taken_whatever_later_calls_come_to() {
    let mut table = table(9);
    for past in [KeyPast::Declined, KeyPast::Open] {
        let ticket = first(table.enter(at(0), id(1), id(10), LIFE));
        table.leave(&id(1), ticket, past);
        let Entered::First(ticket, inherited) = table.enter(at(1), id(1), id(10), LIFE) else { panic!() };
        assert_eq!(inherited, Some(past));
        table.leave(&id(1), ticket, KeyPast::Unused);
        assert_eq!(table.enter(at(2), id(1), id(11), LIFE), Entered::Reused);
    }
}

// === the same key in flight ===

/// S-30
#[test]
fn those_that_wait_get_their_turn_in_order_and_learn_what_was_left_open() {
    let mut table = table(9);
    let leader = first(table.enter(at(0), id(1), id(0), LIFE));
    let (b, c) = (waits(&mut table, 1, "b"), waits(&mut table, 1, "c"));
    assert_eq!(table.leave(&id(1), leader, KeyPast::Open), wake("b"));
    assert_eq!(table.turn(&id(1), c, |_| None), Turn::Wait(None));
    assert_eq!(table.turn(&id(1), b, |_| panic!("not asked")), Turn::Yours(KeyPast::Open));
    // A call that comes now waits behind the one that waits already.
    let d = waits(&mut table, 1, "d");
    assert_eq!(table.leave(&id(1), b, KeyPast::Declined), wake("c"));
    assert_eq!(table.turn(&id(1), c, |_| None), Turn::Yours(KeyPast::Declined));
    assert_eq!(table.leave(&id(1), c, KeyPast::Unused), wake("d"));
    assert_eq!(table.leave(&id(1), d, KeyPast::Unused), Left::Wake { next: None, shared: true });
    assert_eq!(table.size(), (1, 0));
}

/// S-30
#[test]
fn a_call_that_leaves_in_the_queue_or_just_after_it_was_woken_leaves_no_gap() {
    let mut table = table(9);
    let leader = first(table.enter(at(0), id(1), id(0), LIFE));
    let (b, c, d) = (waits(&mut table, 1, "b"), waits(&mut table, 1, "c"), waits(&mut table, 1, "d"));
    assert_eq!(table.leave(&id(1), b, KeyPast::Unused), Left::Waited(Some("b")));
    assert_eq!(table.leave(&id(1), leader, KeyPast::Unused), wake("c"));
    // It was woken, and dropped before it ran.
    assert_eq!(table.leave(&id(1), c, KeyPast::Unused), wake("d"));
    assert_eq!(table.turn(&id(1), d, |_| None), Turn::Yours(KeyPast::Unused));
    assert_eq!(table.leave(&id(1), d, KeyPast::Unused), Left::Wake { next: None, shared: true });
    assert_eq!(table.size(), (0, 0));
}

/// The first call may vouch for its key as much as it likes: by the time that it ends, another one counts on it.
#[test]
fn a_call_learns_when_it_leaves_whether_another_one_has_come_with_its_key() {
    let mut table = table(9);
    let alone = first(table.enter(at(0), id(1), id(0), LIFE));
    assert_eq!(table.leave(&id(1), alone, KeyPast::Open), Left::Wake { next: None, shared: false });
    let again = first(table.enter(at(0), id(1), id(0), LIFE));
    let gone = waits(&mut table, 1, "gone");
    table.leave(&id(1), gone, KeyPast::Unused);
    assert_eq!(table.leave(&id(1), again, KeyPast::Open), Left::Wake { next: None, shared: true });
}

#[test]
fn a_waker_is_replaced_only_by_another_one_and_handed_back() {
    let mut table = table(9);
    let leader = first(table.enter(at(0), id(1), id(0), LIFE));
    let b = waits(&mut table, 1, "old");
    assert_eq!(table.turn(&id(1), b, |kept| (kept != Some(&"old")).then_some("old")), Turn::Wait(None));
    assert_eq!(table.turn(&id(1), b, |_| Some("new")), Turn::Wait(Some("old")));
    assert_eq!(table.leave(&id(1), leader, KeyPast::Unused), wake("new"));
}

// === bounds ===

#[test]
fn a_full_table_forgets_what_will_be_too_old_first_and_never_what_is_in_flight() {
    let mut table = table(2);
    let long = first(table.enter(at(0), id(1), id(0), 3 * LIFE));
    table.leave(&id(1), long, KeyPast::Open);
    let short = first(table.enter(at(1), id(2), id(0), LIFE));
    table.leave(&id(2), short, KeyPast::Open);
    let third = first(table.enter(at(2), id(3), id(0), LIFE));
    assert_eq!(table.enter(at(2), id(1), id(9), LIFE), Entered::Reused, "it lives longer");
    assert!(matches!(table.enter(at(2), id(2), id(9), LIFE), Entered::First(_, None)), "forgotten");
    assert_eq!(table.size(), (2, 2));
    assert_eq!(table.enter(at(2), id(4), id(0), LIFE), Entered::Unguarded);
    table.leave(&id(3), third, KeyPast::Unused);
    assert!(matches!(table.enter(at(2), id(4), id(0), LIFE), Entered::First(_, None)));
}

#[test]
fn a_key_in_flight_is_not_forgotten_however_old() {
    let mut table = table(1);
    let ticket = first(table.enter(at(0), id(1), id(0), LIFE));
    assert_eq!(table.enter(at(1_000), id(1), id(1), LIFE), Entered::Reused);
    assert_eq!(table.enter(at(1_000), id(2), id(1), LIFE), Entered::Unguarded);
    table.leave(&id(1), ticket, KeyPast::Open);
    assert!(matches!(table.enter(at(1_000), id(1), id(1), LIFE), Entered::First(_, None)));
}

// === against a naive model ===

/// All that has ever happened to one key, in a list.
#[derive(Debug, Default)]
struct Model {
    /// Of each key in use: its parameters, when it is too old, what it is bound to, and the calls, the first in front.
    keys: Vec<(u8, u8, u64, KeyPast, Vec<Ticket>)>,
}

impl Model {
    fn enter(&mut self, now: u64, capacity: usize, key: u8, print: u8, life: u64) -> &'static str {
        self.keys.retain(|(_, _, expires, _, calls)| *expires > now || !calls.is_empty());
        if let Some((_, known, _, _, calls)) = self.keys.iter().find(|(known, ..)| *known == key) {
            return match (*known == print, calls.is_empty()) {
                (false, _) => "reused",
                (true, true) => "again",
                (true, false) => "wait",
            };
        }
        if self.keys.len() == capacity {
            let idle = self.keys.iter().filter(|(.., calls)| calls.is_empty());
            let Some(oldest) = idle.map(|(key, _, expires, ..)| (*expires, *key)).min() else {
                return "unguarded";
            };
            self.keys.retain(|(known, ..)| *known != oldest.1);
        }
        self.keys.push((key, print, now + life, KeyPast::Unused, Vec::new()));
        "first"
    }

    fn of(&mut self, key: u8) -> &mut (u8, u8, u64, KeyPast, Vec<Ticket>) {
        self.keys.iter_mut().find(|(known, ..)| *known == key).unwrap()
    }

    fn leave(&mut self, key: u8, ticket: Ticket, past: KeyPast) -> Option<Ticket> {
        let (.., bound, calls) = self.of(key);
        let was_first = calls[0] == ticket;
        calls.retain(|call| *call != ticket);
        if !was_first {
            return None;
        }
        if past != KeyPast::Unused {
            *bound = past;
        }
        let (next, bound) = (calls.first().copied(), *bound);
        if next.is_none() && bound == KeyPast::Unused {
            self.keys.retain(|(known, ..)| *known != key);
        }
        next
    }
}

proptest! {
    /// S-27, S-28, S-29, S-30 and S-103, in any order and number.
    #[test]
    fn the_table_does_what_the_naive_model_does(
        capacity in 1_usize..4,
        steps in prop::collection::vec((0_u8..4, 0_u8..2, 0_u64..30, 0_u8..8, any::<prop::sample::Index>()), 0..60),
    ) {
        let mut table = Table::new(NonZeroUsize::new(capacity).unwrap());
        let mut model = Model::default();
        let mut calls: Vec<(u8, Ticket)> = Vec::new();
        let mut now = 0;
        for (key, print, passes, what, which) in steps {
            now += passes;
            if what < 4 || calls.is_empty() {
                let life = if key == 3 { 300 } else { 100 };
                let expected = model.enter(now, capacity, key, print, life);
                let entered = table.enter(at(now), id(key), id(print), Duration::from_secs(life));
                let ticket = match (entered, expected) {
                    (Entered::First(ticket, None), "first") | (Entered::Wait(ticket), "wait") => ticket,
                    (Entered::First(ticket, Some(past)), "again") => {
                        prop_assert_eq!(past, model.of(key).3);
                        ticket
                    }
                    (Entered::Reused, "reused") | (Entered::Unguarded, "unguarded") => continue,
                    (entered, expected) => {
                        return Err(TestCaseError::fail(format!("{entered:?} is not {expected}")));
                    }
                };
                calls.push((key, ticket));
                model.of(key).4.push(ticket);
                if expected == "wait" {
                    table.turn(&id(key), ticket, |_| Some(ticket));
                }
            } else {
                let (key, ticket) = calls.swap_remove(which.index(calls.len()));
                let past = [KeyPast::Unused, KeyPast::Unused, KeyPast::Declined, KeyPast::Open][usize::from(what - 4)];
                let next = model.leave(key, ticket, past);
                match table.leave(&id(key), ticket, past) {
                    Left::Wake { next: woken, shared } => {
                        prop_assert_eq!(woken, next);
                        prop_assert!(shared || next.is_none());
                    }
                    Left::Waited(own) => prop_assert_eq!((own, next), (Some(ticket), None)),
                }
            }
            // One call of each key has its turn, and it is the one that came first.
            for (key, ticket) in &calls {
                let (.., bound, queue) = model.of(*key);
                let expected = if queue[0] == *ticket { Turn::Yours(*bound) } else { Turn::Wait(None) };
                prop_assert_eq!(table.turn(&id(*key), *ticket, |_| None), expected);
            }
            let in_flight = model.keys.iter().filter(|(.., calls)| !calls.is_empty()).count();
            prop_assert!(model.keys.len() <= capacity);
            prop_assert_eq!(table.size(), (model.keys.len(), in_flight));
        }
        // Nothing leaks: when all have left, nothing is in flight.
        for (key, ticket) in calls.drain(..) {
            table.leave(&id(key), ticket, KeyPast::Unused);
        }
        prop_assert_eq!(table.size().1, 0);
    }
}
