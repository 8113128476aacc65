//! `Stripe-Notice`: what Stripe wants the developer to read, beside any answer.

use std::num::NonZeroU32;

use crate::answer::{Answer, NOTICE};

/// The notice that is attached to every so many answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notice {
    text: Option<(String, NonZeroU32)>,
    seen: u32,
}

impl Notice {
    pub(crate) fn new(text: String, every: NonZeroU32) -> Self {
        Self { text: Some((text, every)), seen: 0 }
    }

    /// Attaches the notice, if it is this answer's turn.
    pub(crate) fn attach(&mut self, answer: Answer) -> Answer {
        let Some((text, every)) = self.text.as_ref().filter(|_| answer.stripes) else {
            return answer;
        };
        self.seen = (self.seen + 1) % *every;
        if self.seen == 0 { answer.with(NOTICE, text) } else { answer }
    }
}
