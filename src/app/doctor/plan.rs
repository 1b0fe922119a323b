//! What is looked at, and the limit of each step.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use tokio::{task::spawn_blocking, time::timeout};

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

/// Does what asks the file system, off the thread that sees to signals, and within [`STEP_TIMEOUT`]: a disk that is gone never
/// answers. `doing` completes "cannot".
pub(super) async fn off_thread<T: Send + 'static>(
    doing: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Fatal> {
    let failed = |why: String| {
        Fatal::new("fwd::system::file", format!("cannot {doing}"))
            .because(why)
            .help("is one of the files on a disk that is gone?")
    };
    match timeout(STEP_TIMEOUT, spawn_blocking(work)).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(_)) => Err(failed("it went wrong half-way".to_owned())),
        Err(_) => Err(failed(format!("there is no answer within {} s", STEP_TIMEOUT.as_secs()))),
    }
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
