//! Why something is not measured.

/// Anything that says so.
pub(super) type Failure = Box<dyn std::error::Error + Send + Sync>;
