//! How large a set may be.

use crate::{error::Fatal, forward::registry};

/// The most forwards of a set: as many as one process has at most, for one process starts it.
pub const MAX_FORWARDS: usize = registry::MAX_FORWARDS;

/// The largest set that is read: room for all that one process forwards. A file beyond it is no set.
pub(super) const MAX_BYTES: u64 = 1024 * 1024;

pub(super) fn too_many(forwards: usize) -> Fatal {
    too_large(format!("it has {forwards} forwards; a set can have {MAX_FORWARDS} at most"))
}

pub(super) fn too_large(why: String) -> Fatal {
    Fatal::new("fwd::set::too_large", "the set was not saved").because(why).help("split it into several sets")
}
