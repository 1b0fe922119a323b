//! `--detach`: the same command again, as a process without a terminal.
//!
//! The command starts itself once more, in a session of its own, and stays until that one works. Meanwhile the child
//! hands over what it has to say, over a pipe, so that people see what they would have seen; from then on it only writes
//! its log. An error before that is the command's own error.

mod messages;

use std::{
    ffi::OsString,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    io::AsyncReadExt as _,
    process::{Child, ChildStdout, Command},
    time::{interval, timeout},
};

use self::messages::{ChildEvent, ChildMessage, ChildMessages, HEARTBEAT_INTERVAL, ParentPipe};
use super::{
    lifecycle::{FLUSH_TIMEOUT, INTERRUPTED, no_start},
    log_file::Log,
    signals::Signals,
};
use crate::{
    control::sockets::SocketDirectories,
    error::{Fatal, io_message},
    model::forward::PortForward,
    ui::{
        OutputFormat, OutputSettings, color, json, list,
        output_writer::{OutputStream, OutputWriter, StdoutUse},
        people::PeopleOutput,
        report::{self, ReportStyle},
    },
};

/// The flag that makes the child one. It stands in front of everything that was typed.
const FLAG: &str = "--in-background";

/// The flag of a set that the user has consented to, here where there is somebody to ask.
pub(super) const TRUST: &str = "--trust";

/// Logs and records of processes that are gone: those of the last days, at a megabyte at most each.
const MAX_OLD_LOGS: usize = 16;

/// How long a child that is interrupted has to end in order.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// How much is shown of what a child said that died without a word of farewell.
const MAX_SHOWN_OUTPUT: u64 = 4096;

/// A child, until it works.
struct StartingChild {
    child: Child,
    messages: ChildMessages<ChildStdout>,
}

/// What is heard of it.
enum StartStep {
    /// It has said something.
    Line(OutputStream, String),
    /// It has said nothing for a while.
    Quiet,
    /// It goes on alone.
    Works { forwards: Vec<PortForward>, log: PathBuf },
}

impl StartingChild {
    /// Starts `program` once more with these words.
    async fn begin(
        program: Option<PathBuf>,
        flags: &[&str],
        argv: &[OsString],
        stdin: Stdio,
    ) -> Result<Self, Fatal> {
        let program = program.ok_or_else(|| {
            let what = "cannot start a process in the background";
            Fatal::new("fwd::background::start", what)
                .because("the system does not tell where this program is")
        })?;
        let mut command = Command::new(program);
        command.arg(FLAG).args(flags).args(argv).stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        system::without_terminal(&mut command);
        let mut child = command.spawn().map_err(|error| {
            Fatal::new("fwd::background::start", "cannot start a process in the background")
                .because(io_message(&error))
                .help("run the command without --detach to forward in this terminal")
        })?;
        match child.stdout.take() {
            Some(stdout) => Ok(Self { child, messages: ChildMessages::of(stdout) }),
            None => Err(exit_error(&mut child).await),
        }
    }

    /// The next thing that is heard. An error is its end, and the child's.
    async fn next(&mut self) -> Result<StartStep, Fatal> {
        loop {
            return match self.messages.next().await {
                ChildEvent::Message(ChildMessage::Beat) => continue,
                ChildEvent::Message(ChildMessage::Out(text)) => Ok(StartStep::Line(OutputStream::Out, text)),
                ChildEvent::Message(ChildMessage::Err(text)) => Ok(StartStep::Line(OutputStream::Err, text)),
                ChildEvent::Message(ChildMessage::Works { forwards, log }) => {
                    Ok(StartStep::Works { forwards, log })
                }
                ChildEvent::Message(ChildMessage::Failed(fatal)) => Err(fatal),
                ChildEvent::Quiet => Ok(StartStep::Quiet),
                ChildEvent::TimedOut(silence) => {
                    end(&mut self.child).await;
                    Err(timed_out(silence))
                }
                ChildEvent::Closed => Err(exit_error(&mut self.child).await),
            };
        }
    }
}

/// Starts `program` once more with these words, and gives its forwards once they work. What it says is in its log alone.
pub(super) async fn start(program: Option<PathBuf>, argv: &[OsString]) -> Result<Vec<PortForward>, Fatal> {
    let mut starting = StartingChild::begin(program, &[], argv, Stdio::null()).await?;
    loop {
        if let StartStep::Works { forwards, .. } = starting.next().await? {
            return Ok(forwards);
        }
    }
}

/// Starts `program` once more with these words, and stays until it works.
pub(super) async fn detach(
    program: Option<PathBuf>,
    flags: &[&str],
    argv: &[OsString],
    stdin: Stdio,
    ui: OutputSettings,
) -> Result<u8, Fatal> {
    let mut signals = Signals::listen().map_err(|error| no_start("listening for Ctrl-C", &error))?;
    let mut writer = OutputWriter::open(PeopleOutput::default(), StdoutUse::Written)
        .map_err(|error| no_start("the printer", &error))?;
    let mut starting = StartingChild::begin(program, flags, argv, stdin).await?;
    let ended = loop {
        let step = tokio::select! {
            step = starting.next() => step,
            _ = signals.next() => {
                end(&mut starting.child).await;
                return Ok(INTERRUPTED);
            }
        };
        match step {
            Ok(StartStep::Line(stream, text)) => writer.write_line(stream, text),
            Ok(StartStep::Quiet) if ui.quiet => {}
            Ok(StartStep::Quiet) => {
                let pid = starting.child.id().unwrap_or_default();
                let text = format!("waiting for the process in the background ({pid})");
                writer.write_line(OutputStream::Err, text);
            }
            Ok(StartStep::Works { forwards, log }) => {
                print_detached(&mut writer, &forwards, &log, starting.child.id(), ui);
                break Ok(0);
            }
            Err(fatal) => break Err(fatal),
        }
    };
    writer.close(FLUSH_TIMEOUT);
    ended
}

/// Ends the child: in order, or at once where it takes too long over that.
async fn end(child: &mut Child) {
    system::end(child);
    if timeout(END_TIMEOUT, child.wait()).await.is_err() {
        let _ = child.start_kill();
    }
}

fn timed_out(silence: Duration) -> Fatal {
    Fatal::new("fwd::background::silent", "the process in the background does not answer")
        .because(format!("it said nothing for {} s, so it was ended", silence.as_secs()))
        .help(
            "it may be suspended, or the machine is very busy; run the command without --detach to see more",
        )
}

/// Says how to find again what goes on without us.
fn print_detached(
    writer: &mut OutputWriter,
    forwards: &[PortForward],
    log: &Path,
    pid: Option<u32>,
    ui: OutputSettings,
) {
    if ui.quiet {
        return;
    }
    match ui.output {
        OutputFormat::Json => {
            let ids: Vec<_> = forwards.iter().map(|forward| forward.id).collect();
            writer.write_line(OutputStream::Out, json::detached(pid, &ids, log));
        }
        OutputFormat::Text => {
            for forward in forwards {
                let name = forward.label.clone().unwrap_or_else(|| forward.id.to_string());
                let text = format!(
                    "{}: running in the background. Logs: kubectl fwd logs {name}. Stop: kubectl fwd stop {name}",
                    list::target(forward)
                );
                writer.write_line(OutputStream::Err, text);
            }
        }
    }
}

/// It ended and did not say why.
async fn exit_error(child: &mut Child) -> Fatal {
    let mut said = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        // A program that the child started may have its stderr open for longer.
        let _ = timeout(END_TIMEOUT, stderr.take(MAX_SHOWN_OUTPUT).read_to_end(&mut said)).await;
    }
    let what = "the process in the background ended before its forwards worked";
    let mut fatal = Fatal::new("fwd::background::died", what);
    match timeout(END_TIMEOUT, child.wait()).await {
        Ok(Ok(status)) => fatal = fatal.because(status),
        Ok(Err(_)) => {}
        Err(_) => {
            fatal = fatal.because("it closed its output but did not exit, so it was ended");
            let _ = child.start_kill();
        }
    }
    let said = String::from_utf8_lossy(&said);
    if !said.trim().is_empty() {
        fatal = fatal.because(said.trim());
    }
    fatal.help("run the command without --detach to see more")
}

/// The child's side.
#[derive(Clone)]
pub(super) struct DetachedChild {
    pub log: Log,
    path: PathBuf,
    /// Where its record is.
    pub record: PathBuf,
    /// The way to the command that waits for us, until it need not wait any more.
    parent: Arc<Mutex<Option<ParentPipe>>>,
}

impl DetachedChild {
    /// Lets go of the terminal and begins a log.
    pub(super) fn begin(directories: &SocketDirectories) -> Result<Self, Fatal> {
        system::leave_session();
        remove_old_logs(directories);
        let path = directories.log()?;
        let log = Log::begin(&path).map_err(|error| {
            Fatal::new("fwd::background::log", format!("cannot write the log {}", path.display()))
                .because(io_message(&error))
                .help("is the disk full? Without --detach no log is needed")
        })?;
        let parent = ParentPipe::open().map_err(|error| no_start("the printer", &error))?;
        let record = directories.record_of(&path);
        let background = Self { log, path, record, parent: Arc::new(Mutex::new(Some(parent))) };
        tokio::spawn(background.clone().send_heartbeats());
        Ok(background)
    }

    /// Says again and again that we are there, until nobody waits for us.
    async fn send_heartbeats(self) {
        let mut beat = interval(HEARTBEAT_INTERVAL);
        while self.has_waiting_parent() {
            self.send(&ChildMessage::Beat);
            beat.tick().await;
        }
    }

    /// To the log, and for as long as somebody waits for us to them too.
    pub(super) fn output_writer(&self) -> io::Result<OutputWriter> {
        let to = |stream| TeeWriter { stream, background: self.clone() };
        OutputWriter::to(to(OutputStream::Out), to(OutputStream::Err))
    }

    /// Whether somebody waits for us.
    pub(super) fn has_waiting_parent(&self) -> bool {
        self.parent.lock().is_some()
    }

    /// Tells them that all is well, and goes on alone.
    pub(super) fn report_ready(&self, forwards: Vec<PortForward>) {
        for forward in &forwards {
            // By this the log is found when the process is gone.
            let target = list::target(forward);
            let _ = writeln!(self.log.clone(), "{target}: running in the background as {}", forward.id);
        }
        self.send_last(&ChildMessage::Works { forwards, log: self.path.clone() });
    }

    /// Tells what ends us, in the log and to the command that waits.
    pub(super) fn report_failure(&self, fatal: &Fatal) {
        let report = report::render(fatal, ReportStyle { fancy: false, color: color::Styling::Plain });
        let _ = self.log.clone().write_all(report.as_bytes());
        self.send_last(&ChildMessage::Failed(fatal.clone()));
    }

    /// One more line of text.
    pub(super) fn say(&self, text: &str) {
        let _ = writeln!(self.log.clone(), "{}", color::strip_ansi(text));
        self.send(&ChildMessage::Err(text.to_owned()));
    }

    fn send(&self, message: &ChildMessage) {
        let mut parent = self.parent.lock();
        // Who was killed meanwhile waits no more.
        if parent.as_ref().is_some_and(|parent| !parent.send(message)) {
            parent.take();
        }
    }

    /// Nobody waits for us any more.
    fn send_last(&self, message: &ChildMessage) {
        let parent = self.parent.lock().take();
        if let Some(parent) = parent {
            parent.send_last(message);
        }
    }
}

/// Tells what ends a child that has not even a log yet.
pub(super) fn report_startup_failure(fatal: &Fatal) {
    let message = serde_json::to_string(&ChildMessage::Failed(fatal.clone())).unwrap_or_default();
    let _ = writeln!(io::stdout().lock(), "{message}");
}

/// Removes the logs and records of processes that are gone, but for the newest, which tell what became of them.
fn remove_old_logs(directories: &SocketDirectories) {
    let alive: Vec<_> = directories.sockets().0.into_iter().map(|socket| socket.pid).collect();
    for files in [directories.logs(), directories.records()] {
        let dead = files.into_iter().filter(|(pid, _)| !alive.contains(pid));
        for (_, path) in dead.skip(MAX_OLD_LOGS) {
            let _ = fs::remove_file(path);
        }
    }
}

/// A stream of ours.
struct TeeWriter {
    stream: OutputStream,
    background: DetachedChild,
}

impl Write for TeeWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line).trim_end_matches('\n').to_owned();
        self.background.send(&match self.stream {
            OutputStream::Out => ChildMessage::Out(text.clone()),
            OutputStream::Err => ChildMessage::Err(text.clone()),
        });
        // Colours are for the terminal that waits for us; the file is for whatever shows it later.
        writeln!(self.background.log, "{}", color::strip_ansi(&text))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(unix)]
mod system {
    use rustix::process::{Pid, Signal, kill_process, setsid};
    use tokio::process::{Child, Command};

    /// Nothing to do yet: the child leaves the session itself.
    pub(super) fn without_terminal(_: &mut Command) {}

    /// Into a session of our own, which has no terminal: its end is not ours.
    pub(super) fn leave_session() {
        // It fails only where we lead one already.
        let _ = setsid();
    }

    pub(super) fn end(child: &mut Child) {
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::TERM);
        }
    }
}

#[cfg(windows)]
mod system {
    use tokio::process::{Child, Command};

    // As the system's headers have them.
    const DETACHED_PROCESS: u32 = 0x0000_0008;
    const CREATE_NEW_PROCESS_GROUP: u32 = 0x0000_0200;

    /// No console, and no Ctrl-C from ours.
    pub(super) fn without_terminal(command: &mut Command) {
        command.creation_flags(DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP);
    }

    pub(super) fn leave_session() {}

    pub(super) fn end(child: &mut Child) {
        let _ = child.start_kill();
    }
}
