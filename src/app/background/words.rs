//! What the process in the background hands over to the command that waits for it: words, one a line, as JSON, and a beat
//! while there is nothing to say, so that silence means that it hangs.

use std::{
    io::{self, Write},
    path::PathBuf,
    sync::mpsc::{self, SyncSender, TrySendError},
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader, Lines},
    time::{Instant, sleep_until},
};

use crate::{
    app::lifecycle::LAST_WORDS, error::Fatal, model::forward::PortForward, sets, system::patience::WORD,
};

/// How often the child says that it is there while it has nothing else to say.
pub(super) const BEAT: Duration = Duration::from_secs(1);

/// How long the child may say nothing once it has begun to: many beats, on a machine that is busy with other things.
const SILENT: Duration = Duration::from_secs(30);

/// And before that, while it reads the set that it is to start.
const SILENT_AT_FIRST: Duration = sets::WITHIN.saturating_add(SILENT);

/// Words that may wait for the command that waits for us. It may be suspended.
const WORDS: usize = 256;

/// Between one try to hand over the last word and the next.
const PAUSE: Duration = Duration::from_millis(10);

/// What the child hands over: one a line, as JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Word {
    Out(String),
    Err(String),
    /// The child is there, and has nothing to say.
    Beat,
    /// All of it works, and the child lets go.
    Works {
        forwards: Vec<PortForward>,
        log: PathBuf,
    },
    Failed(Fatal),
}

/// What the child has to say.
pub(super) struct Words<R> {
    lines: Lines<BufReader<R>>,
    heard: Instant,
    begun: bool,
    /// That it says nothing has been told.
    told: bool,
}

/// What was heard of the child.
pub(super) enum Heard {
    Word(Word),
    /// Nothing for a while.
    Nothing,
    /// Nothing for so long that there will be no more.
    Silence(Duration),
    /// It has closed its end.
    End,
}

impl<R: AsyncRead + Unpin> Words<R> {
    /// From its stdout.
    pub(super) fn of(stdout: R) -> Self {
        Self { lines: BufReader::new(stdout).lines(), heard: Instant::now(), begun: false, told: false }
    }

    /// The next of it. Loses nothing when it is dropped half-way.
    pub(super) async fn hear(&mut self) -> Heard {
        let silence = if self.begun { SILENT } else { SILENT_AT_FIRST };
        let (word, end) = (self.heard + WORD, self.heard + silence);
        let line = tokio::select! {
            biased;
            line = self.lines.next_line() => line,
            () = sleep_until(word), if !self.told => {
                self.told = true;
                return Heard::Nothing;
            }
            () = sleep_until(end) => return Heard::Silence(silence),
        };
        (self.heard, self.begun, self.told) = (Instant::now(), true, false);
        // What is no word is the end as well: our own child says nothing else.
        let word = line.ok().flatten().and_then(|line| serde_json::from_str(&line).ok());
        word.map_or(Heard::End, Heard::Word)
    }
}

/// Hands words over, on a thread of its own: the command that waits for us may be suspended, and its pipe full.
pub(super) struct Hand {
    words: SyncSender<String>,
    done: mpsc::Receiver<()>,
}

impl Hand {
    /// To our own stdout.
    pub(super) fn open() -> io::Result<Self> {
        Self::to(io::stdout())
    }

    fn to(mut stdout: impl Write + Send + 'static) -> io::Result<Self> {
        let (words, waiting) = mpsc::sync_channel::<String>(WORDS);
        let (finished, done) = mpsc::channel();
        thread::Builder::new().name("hand".to_owned()).spawn(move || {
            for word in waiting {
                // Who was killed meanwhile waits no more.
                if stdout.write_all(word.as_bytes()).and_then(|()| stdout.flush()).is_err() {
                    break;
                }
            }
            let _ = finished.send(());
        })?;
        Ok(Self { words, done })
    }

    /// Says a word, unless there are too many already: what it says is in the log as well. Whether anybody is there who
    /// could hear it.
    pub(super) fn say(&self, word: &Word) -> bool {
        !matches!(self.hand_over(word), Err(TrySendError::Disconnected(_)))
    }

    fn hand_over(&self, word: &Word) -> Result<(), TrySendError<String>> {
        self.words.try_send(serde_json::to_string(word).unwrap_or_default() + "\n")
    }

    /// Says the last word, and waits for a moment until it is handed over.
    pub(super) fn say_last(self, word: &Word) {
        let end = Instant::now() + LAST_WORDS;
        while matches!(self.hand_over(word), Err(TrySendError::Full(_))) && Instant::now() < end {
            thread::sleep(PAUSE);
        }
        drop(self.words);
        let _ = self.done.recv_timeout(LAST_WORDS);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    /// A child that never says anything has an end, and a word before it; one that beats may take its time.
    #[tokio::test(start_paused = true)]
    async fn silence_has_an_end() {
        let (mut child, stdout) = tokio::io::duplex(1024);
        let (mut words, begin) = (Words::of(stdout), Instant::now());
        assert!(matches!(words.hear().await, Heard::Nothing));
        assert_eq!(begin.elapsed(), WORD);
        for _ in 0..200 {
            tokio::time::sleep(BEAT).await;
            child.write_all(b"\"beat\"\n").await.unwrap();
            assert!(matches!(words.hear().await, Heard::Word(Word::Beat)));
        }
        let silent = Instant::now();
        assert!(matches!(words.hear().await, Heard::Nothing), "it is told again");
        assert!(matches!(words.hear().await, Heard::Silence(SILENT)));
        assert_eq!(silent.elapsed(), SILENT);
        let mut words = Words::of(tokio::io::duplex(1).0);
        assert!(matches!(words.hear().await, Heard::End));
        let (_child, stdout) = tokio::io::duplex(1);
        let (mut words, begin) = (Words::of(stdout), Instant::now());
        assert!(matches!(words.hear().await, Heard::Nothing));
        assert!(matches!(words.hear().await, Heard::Silence(SILENT_AT_FIRST)));
        assert_eq!(begin.elapsed(), SILENT_AT_FIRST);
    }

    /// A pipe that nobody reads from takes what it takes, and holds nobody up.
    #[test]
    fn a_suspended_command_holds_nobody_up() {
        let (reader, writer) = io::pipe().unwrap();
        let hand = Hand::to(writer).unwrap();
        let word = Word::Err("x".repeat(4096));
        for _ in 0..2 * WORDS {
            assert!(hand.say(&word), "it may go on reading");
        }
        hand.say_last(&Word::Beat);
        drop(reader);
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let hand = Hand::to(writer).unwrap();
        while hand.say(&Word::Beat) {
            thread::yield_now();
        }
    }
}
