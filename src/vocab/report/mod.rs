//! The account of a call: [`Report`] is what it says, [`ReportHandle`] reads it, [`Recorder`] writes it.

mod account;
mod entered;
mod handle;
#[cfg(feature = "telemetry")]
mod observer;
mod recorder;
mod state;

#[cfg(feature = "telemetry")]
pub(crate) use self::observer::{Observer, Summary};
pub(crate) use self::recorder::Held;
pub use self::{
    account::{Report, Stop},
    entered::{Entered, HandedOn},
    handle::ReportHandle,
    recorder::Recorder,
};

#[cfg(test)]
mod tests;
