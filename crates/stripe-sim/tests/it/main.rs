//! The simulator from the outside: in-process under paused time, and over real sockets.

mod api;
mod client;
mod control;
mod faults;
mod h2;
mod keys;
mod limits;
mod locks;
mod payments;
mod proxy;
mod queue;
mod tcp;
mod v2;
mod weather;
