//! F1, input: what people and other programs write, in the command line, in sets and over JSON-RPC.
//!
//! The grammar is the same in all of them, so it is here once: [`target`] reads targets and selectors, [`duration`]
//! durations, [`port`] ports, [`address`] lists of addresses, [`label`] the names that users give to forwards,
//! [`placeholder`] what is filled into the words of a command, [`retry`] which requests may be sent again, and [`local`] tells
//! which local addresses would be wanted twice.
//! It is pure and knows no flag: what to type instead is added by the command line.

pub mod address;
pub mod duration;
pub mod label;
pub mod local;
pub mod placeholder;
pub mod port;
pub mod retry;
pub mod target;
