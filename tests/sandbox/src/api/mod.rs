//! What the Kubernetes API says, apart from any one cluster: which kinds there are, in which documents and bodies they are
//! described, read, patched, selected and shown, and how a refusal looks.

pub(crate) mod discovery;
pub(crate) mod meta;
pub(crate) mod openapi;
pub(crate) mod patch;
pub(crate) mod protobuf;
pub(crate) mod resources;
pub(crate) mod selector;
pub(crate) mod shape;
pub(crate) mod status;
pub(crate) mod table;
