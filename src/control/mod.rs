//! F4, management: what other processes ask of this one, and what this one asks of others.
//!
//! Every process that forwards listens on a socket of its own ([`sockets`]), and answers JSON-RPC 2.0, one message a line
//! ([`rpc`], [`server`]). The methods ([`methods`]) are a contract with other programs: docs/CONTROL.md. [`client`] finds
//! the sockets of this user and asks them all, [`watch`] follows one, [`user_forwards`] does so for a start whose ports are taken, [`pick`] tells
//! which forwards a word means. There is nothing else to
//! start, to upgrade or to crash.
//!
//! Whatever a client sends, no forward that it does not name is touched by it: sizes, numbers and queues are limited,
//! no forward ever waits for a client, and a client that does not read is dropped.

pub mod client;
pub mod follow;
pub mod methods;
pub mod pick;
pub mod rpc;
pub mod server;
pub mod sockets;
pub mod user_forwards;
pub mod watch;
