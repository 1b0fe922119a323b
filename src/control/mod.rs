//! F4, management.

pub mod file;
pub mod store;
