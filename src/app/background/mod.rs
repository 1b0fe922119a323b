//! `--detach`: the same command again, as a process without a terminal.
//!
//! The command starts itself once more, in a session of its own, and stays until that one works. Meanwhile the child
//! hands over what it has to say, over a pipe, so that people see what they would have seen; from then on it only writes
//! its log. An error before that is the command's own error.

mod words;

use std::{
    ffi::OsString,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use tokio::{
    io::AsyncReadExt as _,
    process::{Child, Command},
    time::{interval, timeout},
};

use self::words::{BEAT, Hand, Heard, Word, Words};
use super::{
    lifecycle::{INTERRUPTED, LAST_WORDS, no_start},
    log_file::Log,
    signals::Signals,
};
use crate::{
    control::place::Place,
    error::{Fatal, plain},
    model::forward::PortForward,
    ui::{
        Output, Settings, color,
        door::{Door, Stream},
        escape, json,
        report::{self, Look},
    },
};

/// The flag that makes the child one. It stands in front of everything that was typed.
const FLAG: &str = "--in-background";

/// The flag of a set that the user has consented to, here where there is somebody to ask.
pub(super) const TRUST: &str = "--trust";

/// Logs of processes that are gone: those of the last days, at a megabyte at most each.
const KEPT: usize = 16;

/// How long a child that is interrupted has to end in order.
const END: Duration = Duration::from_secs(5);

/// How much is shown of what a child said that died without a word of farewell.
const LAST_SAID: u64 = 4096;

/// Starts `program` once more with these words, and stays until it works.
pub(super) async fn detach(
    program: Option<PathBuf>,
    flags: &[&str],
    argv: &[OsString],
    stdin: Stdio,
    ui: Settings,
) -> Result<u8, Fatal> {
    let mut signals = Signals::listen().map_err(|error| no_start("listening for Ctrl-C", &error))?;
    let mut door = Door::open().map_err(|error| no_start("the printer", &error))?;
    let program = program.ok_or_else(|| {
        let what = "a process in the background cannot be started";
        Fatal::new("fwd::background::start", what).because("the system does not tell where this program is")
    })?;
    let mut command = Command::new(program);
    command.arg(FLAG).args(flags).args(argv).stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    system::without_terminal(&mut command);
    let mut child = command.spawn().map_err(|error| {
        Fatal::new("fwd::background::start", "a process in the background cannot be started")
            .because(plain(&error))
            .help("leave --detach out to forward in this terminal")
    })?;
    let Some(stdout) = child.stdout.take() else { return Err(died(&mut child).await) };
    let mut words = Words::of(stdout);
    loop {
        let heard = tokio::select! {
            heard = words.hear() => heard,
            _ = signals.next() => {
                end(&mut child).await;
                return Ok(INTERRUPTED);
            }
        };
        match heard {
            Heard::Word(Word::Beat) => {}
            Heard::Word(Word::Out(text)) => door.say(Stream::Out, text),
            Heard::Word(Word::Err(text)) => door.say(Stream::Err, text),
            Heard::Word(Word::Works { forwards, log }) => {
                farewell(&mut door, &forwards, &log, child.id(), ui);
                door.close(LAST_WORDS);
                return Ok(0);
            }
            Heard::Word(Word::Failed(fatal)) => {
                door.close(LAST_WORDS);
                return Err(fatal);
            }
            Heard::Nothing => {
                if !ui.quiet {
                    let pid = child.id().unwrap_or_default();
                    door.say(
                        Stream::Err,
                        format!("waiting for the process in the background ({pid}) to say something"),
                    );
                }
            }
            Heard::Silence(silence) => {
                door.close(LAST_WORDS);
                end(&mut child).await;
                return Err(silent(silence));
            }
            Heard::End => {
                door.close(LAST_WORDS);
                return Err(died(&mut child).await);
            }
        }
    }
}

/// Ends the child: in order, or at once where it takes too long over that.
async fn end(child: &mut Child) {
    system::end(child);
    if timeout(END, child.wait()).await.is_err() {
        let _ = child.start_kill();
    }
}

fn silent(silence: Duration) -> Fatal {
    Fatal::new("fwd::background::silent", "the process in the background does not answer")
        .because(format!("it has said nothing for {} s, and was ended", silence.as_secs()))
        .help("was it stopped, or is the machine very busy? Leave --detach out to see more")
}

/// Says how to find again what goes on without us.
fn farewell(door: &mut Door, forwards: &[PortForward], log: &Path, pid: Option<u32>, ui: Settings) {
    if ui.quiet {
        return;
    }
    match ui.output {
        Output::Json => {
            let ids: Vec<_> = forwards.iter().map(|forward| forward.id).collect();
            door.say(Stream::Out, json::detached(pid, &ids, log));
        }
        Output::Text => {
            for PortForward { id, target, .. } in forwards {
                let target = escape::line(target);
                let text = format!("{target}: in the background as {id}; 'kubectl fwd stop {id}' ends it");
                door.say(Stream::Err, text);
            }
        }
    }
}

/// It ended and did not say why.
async fn died(child: &mut Child) -> Fatal {
    let mut said = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        // A program that the child started may have its stderr open for longer.
        let _ = timeout(END, stderr.take(LAST_SAID).read_to_end(&mut said)).await;
    }
    let what = "the process in the background ended before it worked";
    let mut fatal = Fatal::new("fwd::background::died", what);
    match timeout(END, child.wait()).await {
        Ok(Ok(status)) => fatal = fatal.because(status),
        Ok(Err(_)) => {}
        Err(_) => {
            fatal = fatal.because("it closed its output and did not end; it was ended");
            let _ = child.start_kill();
        }
    }
    let said = String::from_utf8_lossy(&said);
    if !said.trim().is_empty() {
        fatal = fatal.because(said.trim());
    }
    fatal.help("leave --detach out to see more")
}

/// The child's side.
#[derive(Clone)]
pub(super) struct Background {
    pub log: Log,
    path: PathBuf,
    /// The way to the command that waits for us, until it need not wait any more.
    hand: Arc<Mutex<Option<Hand>>>,
}

impl Background {
    /// Lets go of the terminal and begins a log.
    pub(super) fn begin(place: &Place) -> Result<Self, Fatal> {
        system::leave_session();
        sweep(place);
        let path = place.log()?;
        let log = Log::begin(&path).map_err(|error| {
            Fatal::new("fwd::background::log", format!("the log {} cannot be written", path.display()))
                .because(plain(&error))
                .help("is the disk full? Or leave --detach out")
        })?;
        let hand = Hand::open().map_err(|error| no_start("the printer", &error))?;
        let background = Self { log, path, hand: Arc::new(Mutex::new(Some(hand))) };
        tokio::spawn(background.clone().beat());
        Ok(background)
    }

    /// Says again and again that we are there, until nobody waits for us.
    async fn beat(self) {
        let mut beat = interval(BEAT);
        while self.is_awaited() {
            self.tell(&Word::Beat);
            beat.tick().await;
        }
    }

    /// To the log, and for as long as somebody waits for us to them too.
    pub(super) fn door(&self) -> io::Result<Door> {
        let to = |stream| Both { stream, background: self.clone() };
        Door::to(to(Stream::Out), to(Stream::Err))
    }

    /// Whether somebody waits for us.
    pub(super) fn is_awaited(&self) -> bool {
        self.hand().is_some()
    }

    /// Tells them that all is well, and goes on alone.
    pub(super) fn works(&self, forwards: Vec<PortForward>) {
        for PortForward { id, target, .. } in &forwards {
            // By this the log is found when the process is gone.
            let _ = writeln!(self.log.clone(), "{}: in the background as {id}", escape::line(target));
        }
        self.tell_last(&Word::Works { forwards, log: self.path.clone() });
    }

    /// Tells what ends us, in the log and to whoever waits.
    pub(super) fn failed(&self, fatal: &Fatal) {
        let report = report::render(fatal, Look { fancy: false, color: color::Styling::Plain });
        let _ = self.log.clone().write_all(report.as_bytes());
        self.tell_last(&Word::Failed(fatal.clone()));
    }

    /// One more line of text.
    pub(super) fn say(&self, text: &str) {
        let _ = writeln!(self.log.clone(), "{}", color::bare(text));
        self.tell(&Word::Err(text.to_owned()));
    }

    fn hand(&self) -> MutexGuard<'_, Option<Hand>> {
        self.hand.lock()
    }

    fn tell(&self, word: &Word) {
        let mut hand = self.hand();
        // Who was killed meanwhile waits no more.
        if hand.as_ref().is_some_and(|hand| !hand.say(word)) {
            hand.take();
        }
    }

    /// Nobody waits for us any more.
    fn tell_last(&self, word: &Word) {
        let hand = self.hand().take();
        if let Some(hand) = hand {
            hand.say_last(word);
        }
    }
}

/// Tells what ends a child that has not even a log yet.
pub(super) fn stillborn(fatal: &Fatal) {
    let word = serde_json::to_string(&Word::Failed(fatal.clone())).unwrap_or_default();
    let _ = writeln!(io::stdout().lock(), "{word}");
}

/// Removes the logs of processes that are gone, but for the newest, which tell what became of them.
fn sweep(place: &Place) {
    let alive: Vec<_> = place.sockets().0.into_iter().map(|socket| socket.pid).collect();
    let dead = place.logs().into_iter().filter(|(pid, _)| !alive.contains(pid));
    for (_, path) in dead.skip(KEPT) {
        let _ = fs::remove_file(path);
    }
}

/// A stream of ours.
struct Both {
    stream: Stream,
    background: Background,
}

impl Write for Both {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line).trim_end_matches('\n').to_owned();
        self.background.tell(&match self.stream {
            Stream::Out => Word::Out(text.clone()),
            Stream::Err => Word::Err(text.clone()),
        });
        // Colours are for the terminal that waits for us; the file is for whatever shows it later.
        writeln!(self.background.log, "{}", color::bare(&text))?;
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
