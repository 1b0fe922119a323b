//! Whether another process is there, and whether it is suspended: by SIGSTOP, by Ctrl-Z, or by a debugger.

#[cfg(all(unix, not(target_os = "linux")))]
use std::time::Duration;

/// How long `ps` may take: it answers within milliseconds, on a machine that is busy within tenths of a second.
#[cfg(all(unix, not(target_os = "linux")))]
const PS_TIMEOUT: Duration = Duration::from_millis(400);

/// Whether the process is known to be suspended.
#[cfg(target_os = "linux")]
pub async fn is_suspended(pid: u32) -> bool {
    matches!(state(pid), Some('T' | 't'))
}

/// Whether there is a process of this number that has not ended.
#[cfg(target_os = "linux")]
pub fn is_running(pid: u32) -> bool {
    // One that has ended is there until its parent looks.
    !matches!(state(pid), None | Some('Z' | 'X'))
}

/// The letter of the process's state, which stands behind its name; that is in parentheses and may hold any character
/// (proc(5)).
#[cfg(target_os = "linux")]
fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Whether there is a process of this number.
#[cfg(all(unix, not(target_os = "linux")))]
pub fn is_running(pid: u32) -> bool {
    use rustix::process::{Pid, test_kill_process};
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    // Another user's process is one, too.
    pid.is_some_and(|pid| !matches!(test_kill_process(pid), Err(rustix::io::Errno::SRCH)))
}

/// Whether the process is known to be suspended. POSIX has no other way to ask than `ps`.
#[cfg(all(unix, not(target_os = "linux")))]
pub async fn is_suspended(pid: u32) -> bool {
    let mut ps = tokio::process::Command::new("ps");
    ps.args(["-o", "state=", "-p", &pid.to_string()]).stdin(std::process::Stdio::null()).kill_on_drop(true);
    match tokio::time::timeout(PS_TIMEOUT, ps.output()).await {
        Ok(Ok(output)) => output.stdout.trim_ascii().starts_with(b"T"),
        _ => false,
    }
}

/// The pipe of a process is there for as long as it is.
#[cfg(windows)]
pub fn is_running(_: u32) -> bool {
    false
}

/// Windows does not tell.
#[cfg(windows)]
pub async fn is_suspended(_: u32) -> bool {
    false
}
