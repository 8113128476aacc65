//! How much of a run of bytes passes, and what strikes then: the decision of one direction of one connection.

use std::time::Duration;

use super::{
    fault::{Direction, Fault, Point},
    response::Response,
};

/// What strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strike {
    Reset,
    Cut,
    HalfClose,
    Stall { limit: Option<Duration> },
}

/// What a run of bytes comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// How many of the bytes pass.
    pub(super) pass: usize,
    /// What strikes after they passed.
    pub(super) strike: Option<Strike>,
}

/// One direction's share in the fault of its connection.
#[derive(Debug)]
pub(super) struct Track {
    trigger: Trigger,
    /// How many bytes have passed.
    passed: u64,
    close_delay: Option<Duration>,
}

#[derive(Debug)]
enum Trigger {
    Never,
    Byte(u64, Strike),
    NextRequest(Strike),
    AfterResponse(Box<Response>, Strike),
}

impl Track {
    pub(super) fn new(fault: Fault, direction: Direction) -> Self {
        let at = |point, strike| match point {
            Point::Byte(there, at) if there == direction => Trigger::Byte(at, strike),
            Point::NextRequest if direction == Direction::ToUpstream => Trigger::NextRequest(strike),
            Point::AfterResponse if direction == Direction::ToClient => {
                Trigger::AfterResponse(Box::new(Response::new()), strike)
            }
            _ => Trigger::Never,
        };
        let trigger = match fault {
            Fault::Reset(point) => at(point, Strike::Reset),
            Fault::Cut(point) => at(point, Strike::Cut),
            Fault::HalfClose { direction, at: byte } => at(Point::Byte(direction, byte), Strike::HalfClose),
            Fault::Stall { direction, at: byte, limit } => {
                at(Point::Byte(direction, byte), Strike::Stall { limit })
            }
            _ => Trigger::Never,
        };
        let close_delay = match fault {
            Fault::SlowClose { direction: there, delay } if there == direction => Some(delay),
            _ => None,
        };
        Self { trigger, passed: 0, close_delay }
    }

    /// Decides about the next bytes, of which there is at least one. `answered`: the upstream has begun to answer.
    pub(super) fn admit(&mut self, bytes: &[u8], answered: bool) -> Verdict {
        let (pass, strike) = match &mut self.trigger {
            Trigger::Byte(at, strike) => {
                let left = at.saturating_sub(self.passed);
                match usize::try_from(left) {
                    Ok(left) if left < bytes.len() => (left, Some(*strike)),
                    _ => (bytes.len(), None),
                }
            }
            Trigger::NextRequest(strike) if answered => (0, Some(*strike)),
            Trigger::AfterResponse(response, strike) => match response.read(bytes) {
                Some(end) => (end, Some(*strike)),
                None => (bytes.len(), None),
            },
            Trigger::NextRequest(_) | Trigger::Never => (bytes.len(), None),
        };
        self.passed = self.passed.saturating_add(u64::try_from(pass).unwrap_or(u64::MAX));
        if strike.is_some() {
            self.trigger = Trigger::Never;
        }
        Verdict { pass, strike }
    }

    /// By how much the close is late, if it is.
    pub(super) fn close_delay(&self) -> Option<Duration> {
        self.close_delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{ToClient, ToUpstream};

    fn all(length: usize) -> Verdict {
        Verdict { pass: length, strike: None }
    }

    fn struck(pass: usize, strike: Strike) -> Verdict {
        Verdict { pass, strike: Some(strike) }
    }

    #[test]
    fn a_byte_strikes_once_in_its_direction_however_the_bytes_are_cut() {
        for at in 0..10_u64 {
            for run in 1..=10 {
                let fault = Fault::Stall { direction: ToClient, at, limit: None };
                let (mut here, mut there) = (Track::new(fault, ToClient), Track::new(fault, ToUpstream));
                let mut strikes = Vec::new();
                let mut passed = 0;
                for mut bytes in [0; 10].chunks(run) {
                    assert_eq!(there.admit(bytes, true), all(bytes.len()));
                    while !bytes.is_empty() {
                        let verdict = here.admit(bytes, true);
                        passed += verdict.pass;
                        bytes = &bytes[verdict.pass..];
                        strikes.extend(verdict.strike.map(|_| passed));
                    }
                }
                assert_eq!(strikes, [usize::try_from(at).expect("small")], "in runs of {run}");
                assert_eq!(passed, 10);
            }
        }
    }

    #[test]
    fn the_last_byte_before_the_point_does_not_strike() {
        let mut track = Track::new(Fault::Reset(Point::Byte(ToClient, 3)), ToClient);
        assert_eq!(track.admit(b"abc", true), all(3));
        assert_eq!(track.admit(b"d", true), struck(0, Strike::Reset));
    }

    #[test]
    fn the_next_request_strikes_after_an_answer_alone() {
        let mut track = Track::new(Fault::Cut(Point::NextRequest), ToUpstream);
        assert_eq!(track.admit(b"head", false), all(4));
        assert_eq!(track.admit(b"body", false), all(4));
        assert_eq!(track.admit(b"head", true), struck(0, Strike::Cut));
        let mut other = Track::new(Fault::Cut(Point::NextRequest), ToClient);
        assert_eq!(other.admit(b"head", true), all(4));
    }

    #[test]
    fn the_end_of_the_response_strikes_behind_its_last_byte() {
        let mut track = Track::new(Fault::Reset(Point::AfterResponse), ToClient);
        assert_eq!(track.admit(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", true), all(38));
        assert_eq!(track.admit(b"okHTTP/1.1 ", true), struck(2, Strike::Reset));
    }

    #[test]
    fn only_a_slow_close_is_late() {
        let fault = Fault::SlowClose { direction: ToClient, delay: Duration::from_secs(1) };
        assert_eq!(Track::new(fault, ToClient).close_delay(), Some(Duration::from_secs(1)));
        assert_eq!(Track::new(fault, ToUpstream).close_delay(), None);
        assert_eq!(Track::new(Fault::None, ToClient).close_delay(), None);
    }
}
