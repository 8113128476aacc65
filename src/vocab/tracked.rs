//! A request body that knows whether anyone took a frame of it.
//!
//! A request with a body cannot be executed from its head alone. So an attempt whose body was never pulled was not
//! sent, whatever else went wrong, if it is certain that the body will not leave *later*: an HTTP client may hold the
//! request in a queue long after the caller gave up waiting. [`SendProof::claim_unsent`] settles both at once. It looks
//! and closes in one atomic step, and a closed body yields an error instead of a frame, which makes the client abort
//! the request.
//!
//! ```
//! use bytes::Bytes;
//! use http_body_util::Full;
//! use tower_stripe::vocab::tracked::Tracked;
//!
//! let (body, proof) = Tracked::new(Full::new(Bytes::from("amount=1099")));
//! assert!(proof.claim_unsent()); // nobody pulled a frame …
//! drop(body); // … and from here on nobody can
//! ```
//!
//! A body without content proves nothing, as the head alone is the whole request: claims on it fail.

use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};

use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;

/// Nobody pulled a frame, nobody claimed.
const UNTOUCHED: u8 = 0;
/// A frame was pulled, or the end of the body was told to whoever sends it.
const PULLED: u8 = 1;
/// Claimed as unsent: no frame will ever be given out.
const CLOSED: u8 = 2;

/// `UNTOUCHED → PULLED` and `UNTOUCHED → CLOSED` are the only steps; both end states are final.
///
/// Relaxed is enough. All that is asked of this atomic is that exactly one of the two steps happens, and a successful
/// read-modify-write always acts on the latest value of the one location, under every ordering. No other memory is
/// handed over through it: the body is owned by the [`Tracked`], and a claimant never touches it. A plain load may be
/// stale only in showing `UNTOUCHED` too long, and every path that saw that goes on to the compare-exchange.
#[derive(Debug)]
struct State(AtomicU8);

impl State {
    /// Whether `end` is where the state is now, after an attempt to bring it there.
    fn settle(&self, end: u8) -> bool {
        let now = self.0.load(Ordering::Relaxed);
        if now != UNTOUCHED {
            return now == end;
        }
        match self.0.compare_exchange(UNTOUCHED, end, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => true,
            Err(winner) => winner == end,
        }
    }
}

/// Proves that a request was not sent; the other half of a [`Tracked`] body.
///
/// Clones are handles to the same body.
#[derive(Clone, Debug)]
pub struct SendProof(Arc<State>);

impl SendProof {
    /// Claims that no frame of the body was pulled, and closes the body for good if so.
    ///
    /// True exactly if the body has content and no frame of it was or ever will be given out. Once true, always true;
    /// once false, always false.
    #[must_use = "an unused claim closes the body for nothing"]
    pub fn claim_unsent(&self) -> bool {
        self.0.settle(CLOSED)
    }
}

/// A body that records whether it was pulled; see the [module docs](self).
///
/// Size hint and end of stream are those of the inner body, so that the request looks the same on the wire.
#[derive(Debug)]
#[pin_project]
pub struct Tracked<B> {
    #[pin]
    inner: B,
    state: Arc<State>,
}

impl<B: Body> Tracked<B> {
    /// Wraps a body, and returns the proof that goes with it.
    #[must_use]
    pub fn new(inner: B) -> (Self, SendProof) {
        let start = if has_content(&inner) { UNTOUCHED } else { PULLED };
        let state = Arc::new(State(AtomicU8::new(start)));
        let proof = SendProof(Arc::clone(&state));
        (Self { inner, state }, proof)
    }
}

impl<B> Tracked<B> {
    /// The body within.
    pub fn get_ref(&self) -> &B {
        &self.inner
    }
}

/// Whether a sender that asks this body will wait for a frame. If not, it sends the head and nothing else.
pub(crate) fn has_content<B: Body>(body: &B) -> bool {
    !body.is_end_stream() && body.size_hint().exact() != Some(0)
}

impl<B> Body for Tracked<B>
where
    B: Body,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    type Data = B::Data;
    type Error = TrackedError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.project();
        // Before the inner body is polled: a frame that exists could leave before it is accounted for.
        if !this.state.settle(PULLED) {
            return Poll::Ready(Some(Err(TrackedError::CLOSED)));
        }
        let frame = ready!(this.inner.poll_frame(cx));
        Poll::Ready(frame.map(|frame| frame.map_err(TrackedError::from_body)))
    }

    // To tell that the body is over is to give its last frame away: the sender ends the request with the head. So it
    // counts as a pull, and after a claim it is not told.
    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream() && self.state.settle(PULLED)
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.inner.size_hint();
        if hint.exact() == Some(0) && !self.state.settle(PULLED) {
            return SizeHint::default();
        }
        hint
    }
}

/// The error of a [`Tracked`] body: that of the body within, or that it was claimed as unsent.
pub struct TrackedError(Option<Box<dyn StdError + Send + Sync>>);

impl TrackedError {
    const CLOSED: Self = Self(None);

    #[cold]
    pub(crate) fn from_body(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self(Some(error.into()))
    }

    /// Whether the body was closed by [`SendProof::claim_unsent`].
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.is_none()
    }
}

impl fmt::Debug for TrackedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TrackedError").field(&self.0).finish()
    }
}

impl fmt::Display for TrackedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Some(_) => "the request body failed",
            None => "the request was given up before it was sent",
        })
    }
}

impl StdError for TrackedError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.as_deref().map(|error| error as _)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize};
    use std::thread;

    use bytes::Bytes;
    use http_body_util::{Empty, Full};
    use proptest::prelude::*;

    use super::*;

    fn poll<B>(body: &mut Tracked<B>) -> Poll<Option<Result<Frame<B::Data>, TrackedError>>>
    where
        B: Body + Unpin,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        Pin::new(body).poll_frame(&mut Context::from_waker(std::task::Waker::noop()))
    }

    fn some_body() -> Full<Bytes> {
        Full::new(Bytes::from_static(b"amount=1099"))
    }

    /// Tells nothing until it is polled, then fails or ends.
    #[derive(Default)]
    struct Odd {
        fail: bool,
        over: Arc<AtomicBool>,
    }

    impl Body for Odd {
        type Data = Bytes;
        type Error = std::io::Error;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            match self.fail {
                true => Poll::Ready(Some(Err(std::io::Error::other("disk")))),
                false => Poll::Pending,
            }
        }

        fn is_end_stream(&self) -> bool {
            self.over.load(Ordering::Relaxed)
        }

        fn size_hint(&self) -> SizeHint {
            match self.over.load(Ordering::Relaxed) {
                true => SizeHint::with_exact(0),
                false => SizeHint::default(),
            }
        }
    }

    #[test]
    fn a_claim_closes_the_body_for_good() {
        let (mut body, proof) = Tracked::new(some_body());
        let other = proof.clone();
        assert!(proof.claim_unsent());
        assert!(other.claim_unsent(), "a second claim agrees with the first");
        for _ in 0..2 {
            let Poll::Ready(Some(Err(error))) = poll(&mut body) else { panic!("a closed body gave a frame") };
            assert!(error.is_closed());
        }
        assert!(proof.claim_unsent());
    }

    #[test]
    fn a_pulled_body_cannot_be_claimed() {
        let (mut body, proof) = Tracked::new(some_body());
        assert!(matches!(poll(&mut body), Poll::Ready(Some(Ok(_)))));
        assert!(!proof.claim_unsent());
        assert!(body.is_end_stream());
        drop(body);
        assert!(!proof.claim_unsent());
    }

    #[test]
    fn a_poll_that_pends_counts_as_a_pull() {
        let (mut body, proof) = Tracked::new(Odd::default());
        assert!(poll(&mut body).is_pending());
        assert!(!proof.claim_unsent());
    }

    #[test]
    fn an_empty_body_proves_nothing() {
        assert!(!Tracked::new(Empty::<Bytes>::new()).1.claim_unsent());
        assert!(!Tracked::new(Full::new(Bytes::new())).1.claim_unsent());
    }

    #[test]
    fn a_body_dropped_unpulled_can_be_claimed() {
        let (body, proof) = Tracked::new(some_body());
        drop(body);
        assert!(proof.claim_unsent());
    }

    #[test]
    fn telling_the_end_counts_as_a_pull_and_never_follows_a_claim() {
        for tell in
            [|b: &Tracked<Odd>| b.is_end_stream(), |b: &Tracked<Odd>| b.size_hint().exact() == Some(0)]
        {
            let odd = Odd::default();
            let over = Arc::clone(&odd.over);
            let (body, proof) = Tracked::new(odd);
            assert!(!tell(&body));
            over.store(true, Ordering::Relaxed);
            assert!(tell(&body));
            assert!(!proof.claim_unsent());

            let odd = Odd::default();
            let over = Arc::clone(&odd.over);
            let (body, proof) = Tracked::new(odd);
            assert!(proof.claim_unsent());
            over.store(true, Ordering::Relaxed);
            assert!(!tell(&body));
        }
    }

    #[test]
    fn hints_are_those_of_the_inner_body() {
        let (body, proof) = Tracked::new(some_body());
        assert_eq!(body.size_hint().exact(), Some(11));
        assert!(!body.is_end_stream());
        assert!(proof.claim_unsent(), "asking for hints is no pull");
        assert_eq!(body.size_hint().exact(), Some(11));
    }

    #[test]
    fn the_inner_error_is_kept_as_source() {
        let (mut body, _proof) = Tracked::new(Odd { fail: true, ..Odd::default() });
        let Poll::Ready(Some(Err(error))) = poll(&mut body) else { panic!("no error") };
        assert!(!error.is_closed());
        assert!(error.source().is_some_and(|source| source.is::<std::io::Error>()));
        assert_eq!(error.to_string(), "the request body failed");
        assert!(TrackedError::CLOSED.source().is_none());
    }

    /// Two real threads meet on one body after another, each a little earlier or later than the other from round to
    /// round: whoever comes first, exactly one of them wins.
    #[test]
    fn a_claim_and_a_pull_never_both_succeed() {
        const ROUNDS: usize = 20_000;
        let (bodies, proofs): (Vec<_>, Vec<_>) = (0..ROUNDS).map(|_| Tracked::new(some_body())).unzip();
        let arrived = AtomicUsize::new(0);
        let meet = |round: usize, delay: usize| {
            arrived.fetch_add(1, Ordering::SeqCst);
            let mut spins = 0;
            while arrived.load(Ordering::SeqCst) < 2 * (round + 1) {
                spins += 1;
                if spins % 256 == 0 {
                    thread::yield_now(); // There may be one core only.
                }
            }
            (0..delay).for_each(|_| std::hint::spin_loop());
        };
        let (pulled, claimed) = thread::scope(|scope| {
            let puller = scope.spawn(|| {
                let pull = |(round, mut body)| {
                    meet(round, round % 64);
                    matches!(poll(&mut body), Poll::Ready(Some(Ok(_))))
                };
                bodies.into_iter().enumerate().map(pull).collect::<Vec<_>>()
            });
            let claim = |(round, proof): (usize, &SendProof)| {
                meet(round, round / 64 % 64);
                proof.claim_unsent()
            };
            let claimed: Vec<_> = proofs.iter().enumerate().map(claim).collect();
            (puller.join().expect("no panic"), claimed)
        });
        for (pulled, claimed) in pulled.iter().zip(&claimed) {
            assert_ne!(pulled, claimed);
        }
        let won = claimed.iter().filter(|claimed| **claimed).count();
        println!("the claim won {won} rounds of {ROUNDS}");
    }

    /// Every order of two threads' steps, each thread being `load` then `compare_exchange` on one location. The steps
    /// of [`State::settle`] are spelled out here so that each can be placed between any two of the other.
    #[test]
    fn every_interleaving_of_a_claim_and_a_pull_has_one_winner() {
        #[derive(Clone, Copy)]
        struct Thread {
            end: u8,
            step: u8,
            won: Option<bool>,
        }
        fn step(thread: &mut Thread, state: &mut u8) {
            match thread.step {
                0 if *state != UNTOUCHED => thread.won = Some(*state == thread.end),
                0 => thread.step = 1,
                _ if *state == UNTOUCHED => {
                    *state = thread.end;
                    thread.won = Some(true);
                }
                _ => thread.won = Some(*state == thread.end),
            }
        }
        fn explore(state: u8, threads: [Thread; 2], finished: &mut usize) {
            if let [Some(first), Some(second)] = threads.map(|thread| thread.won) {
                assert_ne!(first, second);
                *finished += 1;
                return;
            }
            for turn in (0..2).filter(|turn| threads[*turn].won.is_none()) {
                let (mut state, mut threads) = (state, threads);
                step(&mut threads[turn], &mut state);
                explore(state, threads, finished);
            }
        }
        let thread = |end| Thread { end, step: 0, won: None };
        let mut finished = 0;
        explore(UNTOUCHED, [thread(CLOSED), thread(PULLED)], &mut finished);
        assert_eq!(finished, 6, "two threads of two steps, less those a load ends early");
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Claim,
        Pull,
        Hints,
    }

    proptest! {
        /// Against the obvious model: the first of claim and pull decides, for a body with content.
        #[test]
        fn the_first_of_claim_and_pull_decides(
            empty in any::<bool>(),
            steps in prop::collection::vec(
                prop_oneof![Just(Step::Claim), Just(Step::Pull), Just(Step::Hints)], 0..12),
        ) {
            let content = if empty { Bytes::new() } else { Bytes::from_static(b"x") };
            let (mut body, proof) = Tracked::new(Full::new(content));
            let (mut sendable, mut claimed) = (empty, false);
            for step in steps {
                match step {
                    Step::Claim => {
                        claimed |= !sendable;
                        prop_assert_eq!(proof.claim_unsent(), claimed);
                    }
                    Step::Pull => {
                        sendable |= !claimed;
                        let closed = matches!(poll(&mut body), Poll::Ready(Some(Err(e))) if e.is_closed());
                        prop_assert_eq!(closed, claimed);
                    }
                    Step::Hints => {
                        let ended = body.is_end_stream() && body.size_hint().exact() == Some(0);
                        prop_assert_eq!(ended, sendable);
                    }
                }
            }
        }
    }
}
