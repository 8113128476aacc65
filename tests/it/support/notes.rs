//! What was logged.

use std::fmt;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tracing::{Dispatch, Event, Metadata, Subscriber, field, span};

/// Writes down every field of every span and event.
struct Scribe(UnboundedSender<String>);

impl Subscriber for Scribe {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        attributes.record(&mut |field: &field::Field, value: &dyn fmt::Debug| self.note(field, value));
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        values.record(&mut |field: &field::Field, value: &dyn fmt::Debug| self.note(field, value));
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let _ = self.0.send(format!("level={}", event.metadata().level()));
        event.record(&mut |field: &field::Field, value: &dyn fmt::Debug| self.note(field, value));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

impl Scribe {
    fn note(&self, field: &field::Field, value: &dyn fmt::Debug) {
        // Nobody listens any more once the test has ended.
        let _ = self.0.send(format!("{field}={value:?}"));
    }
}

pub(crate) struct Notes {
    noted: UnboundedReceiver<String>,
    _guard: tracing::subscriber::DefaultGuard,
    _other: Dispatch,
}

impl Notes {
    pub(crate) fn taken() -> Self {
        let (notes, noted) = unbounded_channel();
        // Two, since with a single one tracing asks the default of whichever thread meets a call site first, and other
        // tests have none.
        let other = Dispatch::new(Scribe(notes.clone()));
        Self { noted, _guard: tracing::subscriber::set_default(Scribe(notes)), _other: other }
    }

    /// All that was noted since the last look.
    pub(crate) fn read(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.noted.try_recv().ok()).collect()
    }
}
