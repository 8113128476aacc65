//! Once more under another API key.

use super::*;

const AT_ONCE: Decision = Decision::Again { wait: Duration::ZERO, purpose: Purpose::Rotated, costs: false };

fn rotating(mut scene: Scene) -> Scene {
    scene.newer_api_key = true;
    scene
}

#[test]
fn a_401_is_final_unless_there_is_another_api_key() {
    assert_eq!(Scene::post().ends(&answer(401)), stops(Stop::Final));
    for scene in [Scene::post(), Scene::unkeyed_post(), Scene::new(Method::GET, "/v1/example", false)] {
        let mut scene = rotating(scene);
        assert_eq!(scene.ends(&answer(401)), AT_ONCE);
        assert_eq!(scene.progress.attempts, 1, "it is not counted");
        assert_eq!(scene.ends(&answer(401)), stops(Stop::Final), "once per call");
    }
}

/// What was not accepted is the key, so neither the limit of attempts nor what Stripe said of this request matters.
#[test]
fn it_comes_where_retries_are_forbidden_and_whatever_the_header_says() {
    assert_eq!(rotating(Scene::post().attempts(1)).ends(&answer(401)), AT_ONCE);
    assert_eq!(rotating(Scene::post()).ends(&answer(401).told(false)), AT_ONCE);
    let mut scene = Scene::post().attempts(2);
    assert_eq!(waits(scene.ends(&answer(503))).1, Purpose::Retry);
    scene.newer_api_key = true;
    assert_eq!(scene.ends(&answer(401)), AT_ONCE, "after the last attempt, too");
    scene.newer_api_key = false;
    assert_eq!(scene.ends(&answer(503)), stops(Stop::Attempts));
}

#[test]
fn what_follows_it_is_retried_as_ever() {
    let mut scene = rotating(Scene::post());
    assert_eq!(scene.ends(&answer(401)), AT_ONCE);
    scene.newer_api_key = false;
    assert_eq!(top(scene.ends(&answer(503))), 500);
    assert_eq!(top(scene.ends(&answer(503))), 1_000);
    assert_eq!(scene.ends(&answer(503)), stops(Stop::Attempts));
}

#[test]
fn a_body_that_cannot_be_had_again_and_a_deadline_that_is_over_forbid_it() {
    let mut once = rotating(Scene::post());
    once.call.replayable = false;
    assert_eq!(once.ends(&answer(401)), stops(Stop::Body));
    assert_eq!(rotating(Scene::post().time_left(Duration::ZERO)).ends(&answer(401)), stops(Stop::Deadline));
}

#[test]
fn a_refusal_for_the_old_key_is_not_waited_out() {
    let refused = End::Refusal(Some(30 * SECOND));
    let stop = Decision::Stop { why: Stop::Refused, retry_in: Some(30 * SECOND) };
    assert_eq!(Scene::post().ends(&refused), stop);
    let mut scene = rotating(Scene::post());
    assert_eq!(scene.ends(&refused), AT_ONCE);
    assert_eq!(scene.ends(&refused), stop, "once per call");
    let mut once = rotating(Scene::post());
    once.call.replayable = false;
    assert_eq!(once.ends(&refused), stop);
}
