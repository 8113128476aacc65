//! The simulator from the outside: in-process under paused time, and over real sockets.

mod api;
mod client;
mod faults;
mod keys;
mod limits;
mod proxy;
mod tcp;
