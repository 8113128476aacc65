//! The hundred decisions of `decisions.tsv`, each from the head and the codes of an answer to a wait.

use std::collections::HashSet;

use super::*;

/// A line of `decisions.tsv`.
struct Case<'a> {
    id: &'a str,
    field: Vec<&'a str>,
}

const COLUMNS: [&str; 19] = [
    "id",
    "method",
    "api",
    "keyed",
    "answer",
    "body",
    "headers",
    "type",
    "code",
    "attempt",
    "max_retries",
    "conditions",
    "mode",
    "outcome",
    "certainty",
    "retry",
    "min_ms",
    "max_ms",
    "note",
];

impl<'a> Case<'a> {
    fn all() -> Vec<Self> {
        let mut lines = include_str!("../decisions.tsv").lines();
        assert_eq!(lines.next().unwrap().split('\t').collect::<Vec<_>>(), COLUMNS);
        lines
            .map(|line| {
                let field: Vec<_> = line.split('\t').collect();
                assert_eq!(field.len(), COLUMNS.len(), "{line}");
                Self { id: field[0], field }
            })
            .collect()
    }

    fn get(&self, column: &str) -> Option<&'a str> {
        let index = COLUMNS.iter().position(|name| *name == column).expect("a column");
        Some(self.field[index]).filter(|value| *value != "-")
    }

    fn must(&self, column: &str) -> &'a str {
        self.get(column).unwrap_or_else(|| panic!("{}: no {column}", self.id))
    }

    fn number(&self, column: &str) -> u64 {
        self.must(column).parse().unwrap()
    }

    fn condition(&self, name: &str) -> Option<&'a str> {
        let mut conditions = self.get("conditions")?.split(' ');
        conditions.find_map(|condition| condition.strip_prefix(name)?.strip_prefix('='))
    }

    fn scene(&self) -> Scene {
        let path = format!("/{}/example", self.must("api"));
        let mut scene = Scene::new(self.must("method").parse().unwrap(), &path, self.must("keyed") == "yes")
            .attempts(1 + self.number("max_retries") as u32);
        if let Some(millis) = self.condition("remaining_ms") {
            scene = scene.time_left(Duration::from_millis(millis.parse().unwrap()));
        }
        scene.call.replayable = self.condition("body") != Some("once");
        // The attempts before the one that the line is about.
        for attempt in 1..self.number("attempt") {
            scene.progress.begin(scene.next);
            scene.next = Purpose::Retry;
            assert!(attempt < 10, "{}", self.id);
        }
        scene
    }

    fn end(&self) -> End {
        let answer = self.must("answer");
        let Ok(status) = answer.parse() else { return End::Failure(failure(answer)) };
        let header = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_ascii_lowercase(), value.to_owned())
        };
        let headers: Vec<_> =
            self.get("headers").into_iter().flat_map(|lines| lines.split("; ")).map(header).collect();
        let content_type = headers.iter().find(|(name, _)| name == CONTENT_TYPE.as_str());
        let json = content_type.is_some_and(|(_, value)| value == "application/json");
        assert_eq!(json, matches!(self.must("body"), "json" | "lost"), "{}", self.id);
        let owned = |column| self.get(column).map(str::to_owned);
        let error = (json && status >= 400).then(|| (owned("code"), owned("type")));
        End::Answer { status, headers, error }
    }
}

#[test]
fn the_table_has_one_hundred_different_cases() {
    let cases = Case::all();
    assert_eq!(cases.len(), 100);
    assert_eq!(cases.iter().map(|case| case.id).collect::<HashSet<_>>().len(), 100);
}

#[test]
fn every_case_of_the_table_is_decided_as_it_says_whatever_is_drawn() {
    let jitter = Jitter::seeded(100);
    for case in Case::all() {
        let draws = [0, u64::MAX].into_iter().chain((0..64).map(|_| jitter.draw()));
        for draw in draws {
            let mut scene = case.scene();
            let decision = scene.ends_drawing(&case.end(), draw);
            let attempt = scene.last.as_ref().unwrap();
            assert_eq!(attempt.outcome.as_str(), case.must("outcome"), "{}", case.id);
            assert_eq!(attempt.certainty.as_str(), case.must("certainty"), "{}", case.id);
            assert_eq!(scene.handle.certainty(), attempt.certainty, "{}", case.id);
            // Where a mode that buffers successes would fetch a lost body again, a stream is final: its head decided.
            let retried = case.must("retry") == "yes" && case.must("mode") == "always";
            match decision {
                Decision::Stop { why, .. } => assert!(!retried, "{}: stopped ({why})", case.id),
                Decision::Again { wait, .. } => {
                    assert!(retried, "{}: sent again", case.id);
                    let window = Duration::from_millis(case.number("min_ms"))
                        ..=Duration::from_millis(case.number("max_ms"));
                    assert!(window.contains(&wait), "{}: waits {wait:?}", case.id);
                }
            }
        }
    }
}

#[test]
fn a_body_lost_after_the_head_of_a_success_is_final_in_streaming_mode() {
    let buffered: Vec<_> = Case::all().into_iter().filter(|case| case.must("mode") == "buffered").collect();
    assert_eq!(buffered.len(), 4);
    for case in buffered {
        let mut scene = case.scene();
        assert_eq!(scene.ends(&case.end()), stops(Stop::Final), "{}", case.id);
        // The failure comes when the call has returned, and finds no attempt to change.
        scene.handle.failed(failure(case.condition("lost").unwrap()));
        assert_eq!(scene.handle.certainty(), Certainty::Executed, "{}", case.id);
    }
}

#[test]
fn a_body_lost_after_the_head_of_a_success_is_fetched_again_in_buffered_mode() {
    for case in Case::all().into_iter().filter(|case| case.must("mode") == "buffered") {
        let mut scene = case.scene();
        let (wait, purpose) = waits(scene.ends(&End::BodyLost));
        let window =
            Duration::from_millis(case.number("min_ms"))..=Duration::from_millis(case.number("max_ms"));
        assert!(window.contains(&wait) && purpose == Purpose::Retry, "{}: waits {wait:?}", case.id);
        assert_eq!(scene.handle.certainty(), Certainty::Executed, "{}", case.id);
    }
    assert_eq!(
        Scene::unkeyed_post().ends(&End::BodyLost),
        stops(Stop::Final),
        "it was executed, and has no key"
    );
    assert_eq!(Scene::post().attempts(1).ends(&End::BodyLost), stops(Stop::Attempts));
}

#[test]
fn the_delays_of_a_case_fill_its_window() {
    let jitter = Jitter::seeded(7);
    let delays: Vec<_> =
        (0..1_000).map(|_| waits(Scene::post().ends_drawing(&answer(503), jitter.draw())).0).collect();
    let (least, most) = (delays.iter().min().unwrap(), delays.iter().max().unwrap());
    assert!(*least < Duration::from_millis(255) && *most > Duration::from_millis(495), "{least:?} {most:?}");
}
