//! What is looked at, and the limit of each step.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use tokio::time::timeout;

use crate::{
    cli::resolve::CommonOptions,
    control::sockets::SocketEnvironment,
    error::Fatal,
    model::{ports::PortSpec, target::Target},
    ui::doctor::CheckMarks,
};

/// How long a step may take that has no shorter limit of its own: some seconds more than a connection or an answer.
pub(super) const STEP_TIMEOUT: Duration = Duration::from_secs(15);

/// What is looked at, and with what.
pub(in crate::app) struct DoctorPlan {
    /// The target and its ports, where one is named.
    pub request: Option<(Target, Vec<PortSpec>)>,
    pub common: CommonOptions,
    pub marks: CheckMarks,
    pub sockets: SocketEnvironment,
    /// This program.
    pub program: Option<PathBuf>,
    /// `PATH`.
    pub path: Option<OsString>,
    /// How many files this process may open, where that is limited.
    pub open_files: Option<u64>,
}

/// Does a step within [`STEP_TIMEOUT`]; `doing` completes "cannot".
pub(super) async fn limited<T>(
    doing: &str,
    step: impl Future<Output = Result<T, Fatal>>,
) -> Result<T, Fatal> {
    timeout(STEP_TIMEOUT, step).await.unwrap_or_else(|_| {
        let why = format!("there is no answer within {} s", STEP_TIMEOUT.as_secs());
        Err(Fatal::new("fwd::cluster::timeout", format!("cannot {doing}"))
            .because(why)
            .help("the server is slow, or out of reach; try again"))
    })
}
