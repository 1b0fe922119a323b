//! What a measurement finds, whoever is measured.

use std::{
    io,
    path::PathBuf,
    process::{Command, Stdio},
};

use super::cluster::Cluster;

/// What all measurements are told.
pub(super) struct Setting<'a> {
    pub(super) quick: bool,
    pub(super) cluster: &'a Cluster,
    /// Changes things in the cluster.
    pub(super) kubectl: Kubectl,
}

/// kubectl, and what it is told to change.
pub(super) struct Kubectl {
    pub(super) program: PathBuf,
    pub(super) kubeconfig: PathBuf,
    pub(super) target: String,
}

impl Kubectl {
    pub(super) fn run(&self, arguments: &[&str]) -> io::Result<()> {
        let mut command = Command::new(&self.program);
        let command = command.args(arguments).env("KUBECONFIG", &self.kubeconfig).stdin(Stdio::null());
        let output = command.output()?;
        if output.status.success() {
            Ok(())
        } else {
            Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()))
        }
    }
}
