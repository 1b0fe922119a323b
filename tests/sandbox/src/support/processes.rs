//! Processes in the background, which are no children of the test's.

use serde_json::Value;

use super::client::{Failure, Test, within};

/// The local port in kubectl's line.
pub fn port_in(stdout: &str) -> Result<u16, Failure> {
    let rest =
        stdout.split("Forwarding from 127.0.0.1:").nth(1).ok_or_else(|| format!("no line in {stdout:?}"))?;
    Ok(rest.split(' ').next().unwrap_or_default().parse()?)
}

/// The id in the line of a process in the background; the name of a forward that has one.
pub fn id_in(stderr: &str) -> Result<String, Failure> {
    let rest =
        stderr.split("Stop: kubectl fwd stop ").nth(1).ok_or_else(|| format!("no id in {stderr:?}"))?;
    Ok(rest.chars().take_while(|c| !c.is_whitespace()).collect())
}

/// Whether a process is there. A zombie is not: it has ended, and only its parent has not looked.
pub fn is_alive(pid: u64) -> bool {
    let state = std::process::Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output();
    state.is_ok_and(|output| {
        let state = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        !state.is_empty() && !state.starts_with('Z')
    })
}

/// Sends a signal to a process that is not our child.
pub fn signal(pid: u64, name: &str) -> Test {
    let sent = std::process::Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status()?;
    if sent.success() { Ok(()) } else { Err(format!("kill -{name} {pid} failed").into()) }
}

/// Looks until a process is gone.
pub async fn gone(pid: u64) -> Test {
    within("the end of a process", async {
        while is_alive(pid) {
            tokio::task::yield_now().await;
        }
    })
    .await
}

/// The process of a forward as `list` shows it.
pub fn pid_of(forward: &Value) -> Result<u64, Failure> {
    forward["pid"].as_u64().ok_or_else(|| format!("no pid in {forward}").into())
}
