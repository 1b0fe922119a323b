//! Where a target is that names neither context nor namespace, as far as the kubeconfig tells. Nobody is asked.

use super::{
    choice::{self, choose},
    files,
    flags::{ClusterEnvironment, Flags},
    kubeconfig,
};
use crate::error::Fatal;

/// A context, where one is used, and the namespace of targets that name none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetPlace {
    /// The context's name.
    pub context: Option<String>,
    /// The namespace.
    pub namespace: String,
}

/// The place that the flags and the kubeconfig lead to.
pub async fn target_place(flags: Flags, environment: ClusterEnvironment) -> Result<TargetPlace, Fatal> {
    files::reading("read the kubeconfig", move || {
        let files = kubeconfig::load(&flags, &environment)?;
        let choice = choose(&files, &flags, environment.pod.as_ref())?;
        Ok(TargetPlace { context: choice.context, namespace: choice.namespace })
    })
    .await
}

/// Refuses a context that no kubeconfig has.
pub async fn check_context(flags: Flags, environment: ClusterEnvironment) -> Result<(), Fatal> {
    files::reading("read the kubeconfig", move || {
        let files = kubeconfig::load(&flags, &environment)?;
        flags.context.as_ref().map_or(Ok(()), |name| choice::check_context(&files, name))
    })
    .await
}
