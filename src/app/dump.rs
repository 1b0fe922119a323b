//! A report for bugs on `SIGUSR1`: what the process knows of its forwards, written where its messages for people go.
//!
//! Beside a command (`-- PROGRAM`) the signal is the command's, and there is no report. Windows has no such signal.

use std::{fs, io::Write as _, time::Duration};

use rlimit::Resource;
use tokio::{
    runtime::Handle,
    signal::unix::{SignalKind, signal},
    time::Instant,
};
use tokio_util::task::AbortOnDropHandle;

use super::background::DetachedChild;
use crate::{
    forward::registry::Registry,
    ui::{
        LineTimes,
        dump::{ProcessFacts, lines},
        log::StderrLog,
        people::PeopleOutput,
    },
};

/// Where the system lists the files that this process has open, Linux first.
const OPEN_FILES: [&str; 2] = ["/proc/self/fd", "/dev/fd"];

/// Where reports go.
pub(super) struct DumpOutput {
    pub background: Option<DetachedChild>,
    pub people: PeopleOutput,
    pub times: LineTimes,
}

/// From now on the signal asks for a report, for as long as what is returned is held. `None` where it cannot be heard: then
/// it does what it does to a process that knows nothing of it.
pub(super) fn on_signal(registry: Registry, output: DumpOutput) -> Option<AbortOnDropHandle<()>> {
    let mut asked = signal(SignalKind::user_defined1()).ok()?;
    let begun = Instant::now();
    let reports = async move {
        while asked.recv().await.is_some() {
            for line in lines(&registry.dump(), &facts(begun.elapsed())) {
                output.print(&line);
            }
        }
    };
    Some(AbortOnDropHandle::new(tokio::spawn(reports)))
}

impl DumpOutput {
    fn print(&self, line: &str) {
        let text = format!("{}{line}", self.times.prefix());
        if let Some(background) = &self.background {
            background.say(&text);
        } else {
            // It makes a line of each write, and waits for nobody.
            let stderr = StderrLog::open(self.people.clone());
            let _ = stderr.and_then(|mut stderr| stderr.write_all(text.as_bytes()));
        }
    }
}

fn facts(uptime: Duration) -> ProcessFacts {
    let status = fs::read_to_string("/proc/self/status").ok();
    ProcessFacts {
        pid: std::process::id(),
        uptime,
        memory: status.as_deref().and_then(resident),
        open_files: OPEN_FILES.iter().find_map(|path| Some(fs::read_dir(path).ok()?.count())),
        file_limit: Resource::NOFILE.get_soft().ok(),
        tasks: Handle::current().metrics().num_alive_tasks(),
    }
}

/// The resident memory that a process's status tells, in KiB.
fn resident(status: &str) -> Option<u64> {
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?
        .trim()
        .strip_suffix(" kB")?
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_status_tells() {
        assert_eq!(resident("Name:\tx\nVmRSS:\t   12345 kB\nRssAnon:\t1 kB\n"), Some(12345));
        assert_eq!(resident("Name:\tx\n"), None);
    }
}
