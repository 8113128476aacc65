//! What a layer holds while a request is under way. Dropped, it says that the caller went away.

use std::{sync::atomic::Ordering, time::Instant};

use http::{HeaderMap, StatusCode};

use super::{recorder::Recorder, state::End};
use crate::vocab::Attempt;

/// An attempt that a layer is in. Dropped before it was closed, it records that the caller went away.
#[derive(Debug)]
#[must_use = "dropping it records that the caller went away"]
pub struct Entered(pub(super) Option<Recorder>);

impl Entered {
    /// Adds a response head, if this layer owns the attempt and no layer within has added it.
    pub fn answered(&self, status: StatusCode, headers: &HeaderMap) {
        if let Some(recorder) = &self.0 {
            recorder.answered_if_unheard(status, headers);
        }
    }

    /// Closes the attempt, and returns its account, if this layer owns it. An attempt of which nothing is known ended
    /// in a failure that proves nothing.
    pub fn close(mut self) -> Option<Attempt> {
        self.end(End::Returned)
    }

    fn end(&mut self, end: End) -> Option<Attempt> {
        let recorder = self.0.take()?;
        recorder.shared().open.store(false, Ordering::Relaxed);
        recorder.close(end)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.end(End::Dropped);
    }
}

/// A request that a layer outside of all attempts has handed on. Dropped before it was closed, it records that the
/// caller went away.
#[derive(Debug)]
#[must_use = "dropping it records that the caller went away"]
pub struct HandedOn {
    pub(super) recorder: Option<Recorder>,
    pub(super) since: Instant,
}

impl HandedOn {
    /// The inner service has returned: with a response, or with an error of which nothing is known.
    pub fn close(mut self, head: Option<(StatusCode, &HeaderMap)>) {
        self.end(End::Returned, head);
    }

    fn end(&mut self, end: End, head: Option<(StatusCode, &HeaderMap)>) {
        let Some(recorder) = self.recorder.take() else { return };
        let presumed = recorder.shared().state.with(|state| {
            let presumed = state.presumed();
            if let Some(mut attempt) = presumed.clone() {
                attempt.began = self.since;
                if let (Some((status, headers)), Some(kind)) = (head, state.kind) {
                    attempt.answered(kind, status, headers);
                }
                state.current = Some(attempt);
            }
            state.handed_on = false;
            presumed.is_some()
        });
        if presumed {
            #[cfg(feature = "telemetry")]
            if let Some((_, headers)) = head {
                recorder.look_for_notice(headers);
            }
            recorder.close(end);
        }
    }
}

impl Drop for HandedOn {
    fn drop(&mut self) {
        self.end(End::Dropped, None);
    }
}
