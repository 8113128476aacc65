//! What a response says about its call.

use http::Response;

use super::{Advice, Certainty, Outcome, Report, ReportHandle, RequestId};

/// Reads the account of the call from its response.
///
/// A response that did not come through a layer of this crate has none: everything is `None` then.
pub trait ResponseExt: sealed::Sealed {
    /// The handle of the call's report.
    fn report_handle(&self) -> Option<&ReportHandle>;

    /// The whole account of the call.
    fn report(&self) -> Option<Report> {
        self.report_handle().map(ReportHandle::report)
    }

    /// Stripe's id of the exchange that this response belongs to.
    fn request_id(&self) -> Option<RequestId> {
        self.report_handle()?.last_attempt(|attempt| attempt.request_id.clone())?
    }

    /// What the last attempt came to.
    fn outcome(&self) -> Option<Outcome> {
        self.report_handle()?.last_attempt(|attempt| attempt.outcome)
    }

    /// Whether Stripe has executed the call.
    fn certainty(&self) -> Option<Certainty> {
        self.report_handle().map(ReportHandle::certainty)
    }

    /// What to do with the idempotency key now.
    fn advice(&self) -> Option<Advice> {
        self.report_handle().map(|handle| handle.report().advice())
    }

    /// How many attempts were made on the wire.
    fn attempts(&self) -> Option<u32> {
        self.report_handle().map(ReportHandle::attempts_made)
    }

    /// Whether this is the stored answer of an earlier request with the same key.
    fn was_replayed(&self) -> Option<bool> {
        self.report_handle()?.last_attempt(|attempt| attempt.replayed)
    }
}

impl<B> ResponseExt for Response<B> {
    fn report_handle(&self) -> Option<&ReportHandle> {
        self.extensions().get()
    }
}

pub(crate) mod sealed {
    pub trait Sealed {}

    impl<B> Sealed for http::Response<B> {}
}
