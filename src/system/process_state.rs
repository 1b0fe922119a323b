//! Whether another process is suspended: by SIGSTOP, by Ctrl-Z, or by a debugger.

#[cfg(all(unix, not(target_os = "linux")))]
use std::time::Duration;

/// How long `ps` may take: it answers within milliseconds, on a machine that is busy within tenths of a second.
#[cfg(all(unix, not(target_os = "linux")))]
const PS_TIMEOUT: Duration = Duration::from_millis(400);

/// Whether the process is known to be suspended.
#[cfg(target_os = "linux")]
pub async fn is_suspended(pid: u32) -> bool {
    // The state stands behind the name, which is in parentheses and may hold any character (proc(5)).
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['T', 't'])))
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

/// Windows does not tell.
#[cfg(windows)]
pub async fn is_suspended(_: u32) -> bool {
    false
}
