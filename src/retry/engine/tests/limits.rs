//! Attempts, polls, resends, waits, refusals and numbers.

use std::collections::HashSet;

use http::header::RETRY_AFTER;
use proptest::prelude::*;

use super::*;

// === polls ===

fn in_use() -> End {
    answer(409).code("idempotency_key_in_use")
}

#[test]
fn polls_are_no_attempts_and_go_on_until_the_deadline() {
    let mut scene = Scene::post();
    let mut waited = Duration::ZERO;
    let mut polls = 0;
    loop {
        match scene.ends(&in_use()) {
            Decision::Again { wait, purpose, costs } => {
                assert_eq!(purpose, Purpose::Poll);
                assert!(costs, "a poll costs budget");
                waited += wait;
                polls += 1;
            }
            Decision::Stop { why, .. } => {
                assert_eq!(why, Stop::Deadline);
                break;
            }
        }
    }
    assert!(polls > 10, "only {polls}");
    let deadline = Duration::from_secs(75);
    assert!(waited + SECOND <= deadline && waited + 6 * SECOND > deadline, "{waited:?}");
    assert_eq!(scene.progress.attempts, 1);
}

#[test]
fn polls_pace_themselves_as_retries_do() {
    let mut scene = Scene::post();
    let tops: Vec<_> = (0..6).map(|_| top(scene.ends(&in_use()))).collect();
    assert_eq!(tops, [500, 1_000, 2_000, 4_000, 5_000, 5_000]);
}

#[test]
fn after_polls_the_attempts_are_still_there() {
    let mut scene = Scene::post();
    for _ in 0..5 {
        assert_eq!(waits(scene.ends(&in_use())).1, Purpose::Poll);
    }
    assert_eq!(waits(scene.ends(&answer(503))).1, Purpose::Retry);
    assert_eq!(waits(scene.ends(&in_use())).1, Purpose::Poll, "the last attempt may be followed by polls");
    assert_eq!(waits(scene.ends(&answer(503))).1, Purpose::Retry);
    assert_eq!(scene.ends(&answer(503)), stops(Stop::Attempts));
    let mut scene = Scene::post().attempts(2);
    assert_eq!(waits(scene.ends(&answer(503))).1, Purpose::Retry);
    assert_eq!(waits(scene.ends(&in_use())).1, Purpose::Poll, "when no attempt is left, polls go on");
}

#[test]
fn a_limit_of_none_forbids_polls_and_retries_but_not_the_one_resend() {
    let once = || Scene::post().attempts(1);
    assert_eq!(once().ends(&in_use()), stops(Stop::Attempts));
    for end in [answer(409), answer(429), answer(503), End::Failure(failure("tcp")), answer(400).told(true)] {
        assert_eq!(once().ends(&end), stops(Stop::Attempts), "{end:?}");
    }
    let mut scene = once();
    let resend = End::Failure(Failure::handed_back(FailureKind::Canceled));
    assert_eq!(
        scene.ends(&resend),
        Decision::Again { wait: Duration::ZERO, purpose: Purpose::Resend, costs: false }
    );
    assert_eq!(scene.ends(&resend), stops(Stop::Attempts), "a second time it would be a retry");
}

// === what never left ===

#[test]
fn what_was_handed_back_is_sent_again_at_once_and_only_once() {
    for (kind, scene) in [
        (FailureKind::Canceled, Scene::post()),
        (FailureKind::StreamRefused, Scene::post()),
        (FailureKind::StreamRefused, Scene::unkeyed_post()),
    ] {
        let (mut scene, resend) = (scene, End::Failure(Failure::handed_back(kind)));
        assert_eq!(
            scene.ends(&resend),
            Decision::Again { wait: Duration::ZERO, purpose: Purpose::Resend, costs: false }
        );
        assert_eq!(scene.progress.attempts, 1, "it is not counted");
        // From here on it is a retry like any other: it waits, counts and costs.
        let second = scene.ends(&resend);
        assert!(matches!(second, Decision::Again { purpose: Purpose::Retry, costs: true, .. }), "{second:?}");
        assert_eq!(top(second), 500);
        assert_eq!(top(scene.ends(&resend)), 1_000);
        assert_eq!(scene.ends(&resend), stops(Stop::Attempts));
        assert_eq!(scene.progress.attempts, 3);
        assert_eq!(scene.handle.certainty(), Certainty::NotSent);
    }
}

#[test]
fn a_body_that_cannot_be_had_again_is_sent_once() {
    for end in [
        answer(503),
        in_use(),
        End::Failure(failure("tcp")),
        End::Failure(Failure::handed_back(FailureKind::Canceled)),
    ] {
        let mut scene = Scene::post();
        scene.call.replayable = false;
        assert_eq!(scene.ends(&end), stops(Stop::Body), "{end:?}");
    }
    let mut scene = Scene::post();
    scene.call.replayable = false;
    assert_eq!(
        scene.ends(&answer(402)),
        stops(Stop::Final),
        "what is final anyway is not blamed on the body"
    );
}

// === waits ===

#[test]
fn retry_after_is_waited_for_and_jittered_but_never_shortens_our_own_delay() {
    for (asked, least, most) in [(1, 1_000, 1_500), (3, 3_000, 3_500), (60, 60_000, 60_500)] {
        for draw in [0, 1 << 31, 1 << 63, u64::MAX] {
            let end = answer(503).header("retry-after", &asked.to_string());
            let wait = waits(Scene::post().ends_drawing(&end, draw)).0.as_millis();
            assert!((least..=most).contains(&wait), "{asked} s: {wait} ms");
        }
    }
    // Our own delay is longer: 1 to 2 s before what a limiter refused.
    let end = answer(429).header("retry-after", "1");
    assert_eq!(waits(Scene::post().ends_drawing(&end, u64::MAX)).0.as_millis(), 2_499);
    assert_eq!(waits(Scene::post().ends_drawing(&end, 0)).0.as_millis(), 1_000);
    let spread: HashSet<_> = (0..100)
        .map(|n| {
            let draw = Jitter::seeded(n).draw();
            waits(Scene::post().ends_drawing(&answer(503).header("retry-after", "3"), draw)).0
        })
        .collect();
    assert!(spread.len() > 90, "all clients were told the same, and must not come at once");
}

#[test]
fn a_retry_after_over_the_cap_or_the_deadline_is_handed_over() {
    for asked in [61, 300, u64::MAX] {
        let end = answer(429).header("retry-after", &asked.to_string());
        let expected = Decision::Stop { why: Stop::RetryAfter, retry_in: Some(Duration::from_secs(asked)) };
        assert_eq!(Scene::post().time_left(3_600 * SECOND).ends(&end), expected);
    }
    let end = answer(503).header("retry-after", "20");
    let decision = Scene::post().time_left(20 * SECOND).ends(&end);
    assert_eq!(decision, Decision::Stop { why: Stop::Deadline, retry_in: Some(20 * SECOND) });
    // It is handed over as well when the call stops for another reason.
    let end = answer(402).header("retry-after", "20");
    assert_eq!(Scene::post().ends(&end), Decision::Stop { why: Stop::Final, retry_in: Some(20 * SECOND) });
}

#[test]
fn nonsense_in_retry_after_means_our_own_delay() {
    for value in ["0", "-1", "soon", "1.5", "Thu, 01 Jan 1970 00:00:00 GMT", ""] {
        let end = answer(503).header(RETRY_AFTER.as_str(), value);
        assert_eq!(top(Scene::post().ends(&end)), 500, "{value:?}");
    }
    let end = answer(503).header("retry-after", "Thu, 01 Jan 1970 00:00:07 GMT");
    assert_eq!(waits(Scene::post().ends_drawing(&end, 0)).0, 7 * SECOND);
}

#[test]
fn a_wait_that_leaves_no_time_for_an_attempt_is_not_begun() {
    let wait = waits(Scene::post().ends(&answer(503))).0;
    let enough = wait + SECOND;
    assert_eq!(waits(Scene::post().time_left(enough).ends(&answer(503))).0, wait);
    let too_little = enough - Duration::from_nanos(1);
    assert_eq!(Scene::post().time_left(too_little).ends(&answer(503)), stops(Stop::Deadline));
    assert_eq!(Scene::post().time_left(too_little).ends(&in_use()), stops(Stop::Deadline));
    // An attempt may be known to need less.
    let mut scene = Scene::post().time_left(wait + SECOND / 4);
    scene.call.min_attempt = SECOND / 4;
    assert_eq!(waits(scene.ends(&answer(503))).0, wait);
    let resend = End::Failure(Failure::handed_back(FailureKind::Canceled));
    assert_eq!(Scene::post().time_left(Duration::ZERO).ends(&resend), stops(Stop::Deadline));
}

#[test]
fn rungs_are_counted_by_attempts_and_a_limiters_are_longer() {
    let mut scene = Scene::post().attempts(6);
    let tops: Vec<_> = (0..5).map(|_| top(scene.ends(&answer(503)))).collect();
    assert_eq!(tops, [500, 1_000, 2_000, 4_000, 5_000]);
    let mut scene = Scene::post().attempts(7).time_left(3_600 * SECOND);
    let tops: Vec<_> = (0..6).map(|_| top(scene.ends(&answer(429)))).collect();
    assert_eq!(tops, [2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
    let mut scene = Scene::post();
    assert_eq!(top(scene.ends(&answer(429).code("lock_timeout"))), 500, "a lock is not a limiter");
    assert_eq!(
        top(scene.ends(&answer(429).code("rate_limit"))),
        4_000,
        "the second retry, whatever the first"
    );
}

// === refusals of our own ===

#[test]
fn a_refusal_is_waited_out_only_if_money_may_have_moved_and_the_hint_fits() {
    let hint = Some(3 * SECOND);
    let stopped = Decision::Stop { why: Stop::Refused, retry_in: hint };
    assert_eq!(Scene::post().ends(&End::Refusal(hint)), stopped, "nothing was sent");

    let mut scene = Scene::post();
    scene.ends(&answer(429));
    assert_eq!(scene.ends(&End::Refusal(hint)), stopped, "stripe rejected it");

    let unknown = |left: Duration| {
        let mut scene = Scene::post().time_left(left);
        waits(scene.ends(&End::Failure(failure("timeout"))));
        scene
    };
    let minute = 60 * SECOND;
    assert_eq!(
        unknown(minute).ends(&End::Refusal(hint)),
        Decision::Again { wait: 3 * SECOND, purpose: Purpose::Retry, costs: true }
    );
    let none = Decision::Stop { why: Stop::Refused, retry_in: None };
    assert_eq!(unknown(minute).ends(&End::Refusal(None)), none, "nobody knows for how long");
    assert_eq!(unknown(4 * SECOND).ends(&End::Refusal(hint)), stopped, "no time is left then");
    let mut once = unknown(minute);
    once.call.replayable = false;
    assert_eq!(once.ends(&End::Refusal(hint)), stopped);
}

#[test]
fn refusals_spend_no_attempt() {
    for first in [End::Failure(failure("timeout")), answer(503)] {
        let mut scene = Scene::post().time_left(3_600 * SECOND);
        scene.ends(&first);
        for _ in 0..50 {
            let again = scene.ends(&End::Refusal(Some(SECOND)));
            assert!(
                matches!(again, Decision::Again { purpose: Purpose::Retry, costs: true, .. }),
                "{again:?}"
            );
            assert_eq!(scene.progress.attempts, 1);
        }
        assert_eq!(top(scene.ends(&answer(503))), 1_000, "the second retry");
        assert_eq!(scene.ends(&answer(503)), stops(Stop::Attempts));
    }
}

#[test]
fn a_refusal_of_the_first_attempt_spends_none_either() {
    // A handle that already knows of an attempt of unknown fate, under this order.
    let mut scene = Scene::post();
    let entered = scene.handle.enter(&scene.request, Purpose::First);
    drop(entered);
    for _ in 0..5 {
        let again = scene.ends(&End::Refusal(Some(SECOND)));
        assert!(matches!(again, Decision::Again { purpose: Purpose::First, .. }), "{again:?}");
        assert_eq!(scene.progress.attempts, 0);
    }
}

#[test]
fn polls_and_resends_that_are_refused_stay_what_they_are() {
    let mut scene = Scene::post();
    scene.ends(&in_use());
    let again = scene.ends(&End::Refusal(Some(SECOND)));
    assert!(matches!(again, Decision::Again { purpose: Purpose::Poll, costs: true, .. }), "{again:?}");
    assert_eq!(scene.progress.attempts, 1);
}

#[test]
fn a_short_hint_does_not_make_a_storm() {
    let mut scene = Scene::post().time_left(3_600 * SECOND);
    scene.ends(&End::Failure(failure("reset")));
    let millis: Vec<_> = (0..5).map(|_| top(scene.ends(&End::Refusal(Some(Duration::ZERO))))).collect();
    assert_eq!(millis, [500, 1_000, 2_000, 4_000, 5_000]);
}

// === numbers ===

#[test]
fn nothing_overflows_at_four_billion_attempts() {
    let mut scene = Scene::post().attempts(u32::MAX).time_left(3_600 * SECOND);
    scene.next = Purpose::Retry;
    scene.progress.attempts = u32::MAX - 2;
    assert_eq!(top(scene.ends(&answer(503))), 5_000);
    assert_eq!(scene.ends(&answer(503)), stops(Stop::Attempts));
    for end in [answer(503), answer(429), answer(500).told(true), in_use(), End::Refusal(Some(SECOND))] {
        for purpose in [Purpose::First, Purpose::Retry, Purpose::Poll, Purpose::Resend] {
            let mut scene = Scene::post().attempts(u32::MAX).time_left(3_600 * SECOND);
            drop(scene.handle.enter(&scene.request, Purpose::First));
            scene.progress = Progress {
                attempts: u32::MAX,
                polls: u32::MAX,
                refusals: u32::MAX,
                resent: false,
                rotated: false,
                stored_failures: u32::MAX,
            };
            scene.next = purpose;
            scene.ends(&end);
        }
    }
}

fn any_end() -> impl Strategy<Value = End> {
    let code = prop::sample::select(vec!["", "idempotency_key_in_use", "lock_timeout", "rate_limit"]);
    let header = prop::sample::select(vec!["", "true", "false", "True"]);
    let answer = (100_u16..1_000, code, header, prop::option::of(0_u32..100), any::<bool>()).prop_map(
        |(status, code, told, retry_after, replayed)| {
            let mut end = answer(status);
            if !code.is_empty() {
                end = end.code(code);
            }
            if !told.is_empty() {
                end = end.header("stripe-should-retry", told);
            }
            if let Some(seconds) = retry_after {
                end = end.header("retry-after", &seconds.to_string());
            }
            if replayed { end.header("idempotent-replayed", "true") } else { end }
        },
    );
    let kind = prop::sample::select(vec!["tcp", "dns", "tls", "timeout", "reset", "protocol"]);
    prop_oneof![
        4 => answer,
        2 => kind.prop_map(|kind| End::Failure(failure(kind))),
        1 => Just(End::Failure(Failure::handed_back(FailureKind::StreamRefused))),
        1 => prop::option::of(0_u64..20).prop_map(|hint| End::Refusal(hint.map(Duration::from_secs))),
    ]
}

proptest! {
    /// Whatever happens to a call: it keeps its limits, and what may run twice is not sent twice.
    #[test]
    fn no_history_breaks_a_limit(
        keyed in any::<bool>(), method in prop::sample::select(vec!["GET", "POST", "DELETE"]),
        api in prop::sample::select(vec!["v1", "v2", "v3"]),
        max in 1_u32..6, ends in prop::collection::vec(any_end(), 1..40), draws in any::<[u64; 40]>(),
    ) {
        let path = format!("/{api}/example");
        let keyed = keyed && (method == "POST" || method == "DELETE" && api == "v2");
        let mut scene = Scene::new(method.parse().unwrap(), &path, keyed).attempts(max);
        let (mut counted, mut resends, mut unsafe_now) = (0, 0, false);
        for (end, draw) in ends.iter().zip(draws) {
            prop_assert!(!unsafe_now, "sent again without a key");
            prop_assert!(scene.now < scene.call.deadline);
            let purpose = scene.next;
            let decision = scene.ends_drawing(end, draw);
            let refused = matches!(end, End::Refusal(_));
            counted += u32::from(!refused && matches!(purpose, Purpose::First | Purpose::Retry));
            resends += u32::from(!refused && purpose == Purpose::Resend);
            prop_assert!(counted <= max, "{counted} attempts of {max}");
            prop_assert!(resends <= 1);
            let Decision::Again { wait, purpose, costs } = decision else { break };
            prop_assert!(scene.now + scene.call.min_attempt <= scene.call.deadline || purpose == Purpose::Resend);
            prop_assert!(wait <= Duration::from_secs(61));
            // What a retry that was refused had cost has gone back.
            prop_assert_eq!(costs, matches!(purpose, Purpose::Retry | Purpose::Poll));
            let harmless = keyed || method == "GET" || method == "DELETE" && api == "v1";
            unsafe_now = !harmless && scene.handle.certainty() == Certainty::Unknown;
        }
    }
}
