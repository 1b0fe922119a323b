//! F0, the vocabulary: the nouns every floor above speaks in. Nothing here does anything.

pub mod check;
pub mod endpoint;
pub mod event;
pub mod forward;
pub mod message;
pub mod name;
pub mod ports;
pub mod target;
