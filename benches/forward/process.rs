//! What the kernel knows of a process (Linux; elsewhere it is not known).

/// Clock ticks a second in `/proc`, whatever the kernel's own: part of its ABI.
const TICKS: f64 = 100.0;

/// Seconds of CPU used so far, in user and kernel mode.
pub(super) fn cpu_seconds(pid: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in parentheses, which may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks = fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
    Some(ticks.sum::<f64>() / TICKS)
}

/// Resident memory in MiB.
pub(super) fn resident_mib(pid: u32) -> Option<f64> {
    mib(pid, "VmRSS:")
}

/// The most that was resident, in MiB.
#[allow(dead_code, reason = "not every benchmark asks")]
pub(super) fn peak_mib(pid: u32) -> Option<f64> {
    mib(pid, "VmHWM:")
}

/// Its first child, if it has one.
#[allow(dead_code, reason = "not every benchmark asks")]
pub(super) fn child(pid: u32) -> Option<u32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

fn mib(pid: u32, field: &str) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    Some(line.split_whitespace().next()?.parse::<f64>().ok()? / 1024.0)
}
