//! From the response to what async-stripe wants of it: the bytes of a success, or an error.

use std::{fmt, io};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use http_body_util::{BodyExt, Limited};
use tower_stripe::{Certainty, ReportHandle, ResponseExt, classify::StripeError};

use crate::Error;

/// The longest answer that is read: many times the longest page of Stripe's.
const LONGEST: usize = 64 << 20;

pub(crate) async fn read<R>(mut response: Response<R>) -> Result<Bytes, Error>
where
    R: Body<Data = Bytes>,
    R::Error: fmt::Display,
{
    let report = response.report_handle().cloned();
    let status = response.status();
    let stripe = response.extensions_mut().remove::<StripeError>();
    // What a body fails with need not be an error, but it can be told.
    let body = response.into_body().map_err(|why| io::Error::other(why.to_string()));
    let body = match Limited::new(body, LONGEST).collect().await {
        Ok(body) => body.to_bytes(),
        Err(why) => return Err(Error::broken_off(status, why, report)),
    };
    // The page of a captive portal is a success, too: only what the stack knows to be Stripe's is handed on, so that a
    // success that async-stripe cannot read was executed.
    let executed = report.as_ref().map(ReportHandle::certainty) == Some(Certainty::Executed);
    if status.is_success() && executed {
        Ok(body)
    } else {
        Err(Error::answered(status, &body, stripe, report))
    }
}
