//! A full screen: the terminal is set up for it, drawn on, and put back as it was, whatever ends it.
//!
//! Drawing has a thread of its own: a terminal that is paused or slow holds up neither a forward nor a key. Keys are read on
//! another one, which ends before the terminal is given back: what is typed then is for the shell.
//!
//! What is shown is a [`ScreenContent`]; what is typed comes by [`Screen::next`].

use std::{
    fs::File,
    io::{self, BufWriter, Write as _},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc as threads,
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use ratatui::{
    Frame, Terminal,
    backend::CrosstermBackend,
    crossterm::{
        cursor::{Hide, Show},
        event::{
            self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent,
            MouseEventKind,
        },
        execute,
        terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
    },
    layout::Rect,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::{
    app::{
        lifecycle::{FLUSH_TIMEOUT, no_start},
        stdio,
    },
    error::Fatal,
    ui::{
        key_bindings::KeyPress,
        panel::effect::{PanelInput, WheelTurn},
    },
};

/// Screens a second at most: as many as an eye needs to see something move, and few enough for a slow line.
const FRAME_TIME: Duration = Duration::from_millis(50);
/// Keys that wait to be acted upon: more than anybody types meanwhile. More wait in the terminal.
const MAX_KEYS: usize = 64;
/// Commands that wait for the thread that draws.
const MAX_COMMANDS: usize = 16;
/// How long a look for a key lasts: how late a screen that is closed notices it, and so little that nobody does.
const KEY_LOOK: Duration = Duration::from_millis(100);
/// How long a look may take on a busy machine.
const KEYS_END: Duration = Duration::from_secs(1);
/// The name of that thread, by which a panic is known to be its.
pub(in crate::app) const DRAWING: &str = "screen";

/// Whether the terminal is set up for a screen.
static SHOWN: AtomicBool = AtomicBool::new(false);

/// What a screen shows.
pub(in crate::app) trait ScreenContent: Send {
    /// Draws it.
    fn draw(&mut self, frame: &mut Frame<'_>);
}

/// What is on the screen.
pub(in crate::app) type SharedContent = Arc<Mutex<dyn ScreenContent>>;

type ScreenTerminal = Terminal<CrosstermBackend<BufWriter<File>>>;

enum DrawCommand {
    /// What there is.
    Draw,
    /// Something that the terminal acts upon and does not show.
    Send(String),
    Leave(oneshot::Sender<()>),
}

/// What there is to draw.
struct ScreenWork {
    content: Mutex<SharedContent>,
    /// A command to draw waits: another one would only fill the queue, and keep out a command to leave.
    is_due: AtomicBool,
    /// All of it is drawn next time, whatever was there before.
    is_stale: AtomicBool,
}

/// The screen that a terminal shows.
pub(in crate::app) struct Screen {
    commands: threads::SyncSender<DrawCommand>,
    drawn: Arc<ScreenWork>,
    keys: mpsc::Receiver<PanelInput>,
    /// No key is read any more.
    closed: Arc<AtomicBool>,
}

impl ScreenWork {
    fn of(content: SharedContent) -> Self {
        Self {
            content: Mutex::new(content),
            is_due: AtomicBool::new(false),
            is_stale: AtomicBool::new(false),
        }
    }
}

impl Screen {
    /// Takes the terminal.
    pub(in crate::app) fn open(content: SharedContent) -> Result<Self, Fatal> {
        let failed = |error: io::Error| no_start("the full screen", &error);
        let (commands, received) = threads::sync_channel(MAX_COMMANDS);
        let (pressed, keys) = mpsc::channel(MAX_KEYS);
        let closed = Arc::new(AtomicBool::new(false));
        let is_closed = Arc::clone(&closed);
        let drawn = Arc::new(ScreenWork::of(content));
        let drawing = Arc::clone(&drawn);
        let begin = || {
            enter()?;
            let terminal = Terminal::new(CrosstermBackend::new(BufWriter::new(stdio::stdout()?)))?;
            thread::Builder::new()
                .name(DRAWING.to_owned())
                .spawn(move || draw(terminal, received, &drawing))?;
            thread::Builder::new().name("keys".to_owned()).spawn(move || read_keys(&pressed, &is_closed))
        };
        begin().map_err(|error| {
            restore();
            failed(error)
        })?;
        Ok(Self { commands, drawn, keys, closed })
    }

    /// What is shown has changed. False where nothing is drawn any more.
    pub(in crate::app) fn changed(&self) -> bool {
        if self.drawn.is_due.swap(true, Ordering::SeqCst) {
            return true;
        }
        match self.commands.try_send(DrawCommand::Draw) {
            Ok(()) => true,
            Err(threads::TrySendError::Full(_)) => {
                self.drawn.is_due.store(false, Ordering::SeqCst);
                true
            }
            Err(threads::TrySendError::Disconnected(_)) => {
                self.drawn.is_due.store(false, Ordering::SeqCst);
                false
            }
        }
    }

    /// Shows something else from now on. False where nothing is drawn any more.
    pub(in crate::app) fn show(&self, content: SharedContent) -> bool {
        *self.drawn.content.lock() = content;
        self.changed()
    }

    /// Draws all of it anew.
    pub(in crate::app) fn redraw(&self) {
        self.drawn.is_stale.store(true, Ordering::SeqCst);
        self.changed();
    }

    /// Has the terminal do something.
    pub(in crate::app) fn send(&self, sequence: String) {
        let _ = self.commands.try_send(DrawCommand::Send(sequence));
    }

    /// The next key, click or turn of the wheel. None once the terminal is gone.
    pub(in crate::app) async fn next(&mut self) -> Option<PanelInput> {
        self.keys.recv().await
    }

    /// Puts the terminal back for a while.
    pub(in crate::app) async fn leave(&self) {
        let (left, done) = oneshot::channel();
        let is_gone = match self.commands.try_send(DrawCommand::Leave(left)) {
            Ok(()) => matches!(timeout(FLUSH_TIMEOUT, done).await, Ok(Err(_))),
            Err(threads::TrySendError::Disconnected(_)) => true,
            Err(threads::TrySendError::Full(_)) => false,
        };
        if is_gone {
            return restore();
        }
        // One that is paused gets what it can take: its mode, which waits for nobody.
        let _ = disable_raw_mode();
        SHOWN.store(false, Ordering::SeqCst);
    }

    /// Takes it again.
    pub(in crate::app) fn come_back(&self) -> bool {
        // What somebody else has made of its mode is not known to crossterm.
        let _ = disable_raw_mode();
        let there = enter().is_ok();
        self.redraw();
        there
    }

    /// Puts the terminal back for good.
    pub(in crate::app) async fn close(mut self) {
        self.closed.store(true, Ordering::SeqCst);
        // Its thread has ended once nothing can come from it.
        let _ = timeout(KEYS_END, async { while self.keys.recv().await.is_some() {} }).await;
        self.leave().await;
    }
}

fn enter() -> io::Result<()> {
    enable_raw_mode()?;
    SHOWN.store(true, Ordering::SeqCst);
    Ok(())
}

/// Puts the terminal back at once, from whichever thread: before a panic is told.
pub(in crate::app) fn restore() {
    if SHOWN.swap(false, Ordering::SeqCst) {
        if let Ok(mut out) = stdio::stdout() {
            let _ = end(&mut out);
        }
        let _ = disable_raw_mode();
    }
}

fn begin(out: &mut impl io::Write) -> io::Result<()> {
    execute!(out, EnterAlternateScreen, Hide)?;
    mouse::begin(out)
}

fn end(out: &mut impl io::Write) -> io::Result<()> {
    mouse::end(out)?;
    execute!(out, LeaveAlternateScreen, Show)
}

/// The commands of the thread that draws. However it ends, by a panic as well, the next command finds that: none is taken
/// for one that waits.
struct DrawCommands<'a> {
    received: Option<threads::Receiver<DrawCommand>>,
    screen: &'a ScreenWork,
}

impl Drop for DrawCommands<'_> {
    fn drop(&mut self) {
        self.received = None;
        self.screen.is_due.store(false, Ordering::SeqCst);
    }
}

/// The thread that draws: at most one screen a [`FRAME_TIME`], of what there is by then.
fn draw(mut terminal: ScreenTerminal, commands: threads::Receiver<DrawCommand>, screen: &ScreenWork) {
    let mut last: Option<Instant> = None;
    let mut is_up = false;
    let commands = DrawCommands { received: Some(commands), screen };
    while let Some(Ok(command)) = commands.received.as_ref().map(threads::Receiver::recv) {
        let drawn = match command {
            DrawCommand::Draw => {
                let wait = last.map_or(Duration::ZERO, |last| FRAME_TIME.saturating_sub(last.elapsed()));
                thread::sleep(wait);
                screen.is_due.store(false, Ordering::SeqCst);
                last = Some(Instant::now());
                is_up &= !screen.is_stale.swap(false, Ordering::SeqCst);
                let content = Arc::clone(&screen.content.lock());
                show(&mut terminal, &content, &mut is_up)
            }
            DrawCommand::Send(sequence) => {
                let out = terminal.backend_mut();
                out.write_all(sequence.as_bytes()).and_then(|()| io::Write::flush(out))
            }
            DrawCommand::Leave(left) => {
                is_up = false;
                let ended = end(terminal.backend_mut());
                let _ = left.send(());
                ended
            }
        };
        // An error is a terminal that is gone.
        if drawn.is_err() {
            return;
        }
    }
}

fn show(terminal: &mut ScreenTerminal, content: &SharedContent, is_up: &mut bool) -> io::Result<()> {
    if !SHOWN.load(Ordering::SeqCst) {
        return Ok(());
    }
    if !std::mem::replace(is_up, true) {
        begin(terminal.backend_mut())?;
        // Not `clear`, which asks the terminal for its cursor and would wait for the answer beside the thread that reads keys.
        let size = terminal.size()?;
        terminal.resize(Rect::new(0, 0, size.width, size.height))?;
    }
    // What is shown is locked while it is laid out, and not while it is written.
    terminal.draw(|frame| content.lock().draw(frame)).map(drop)
}

fn read_keys(pressed: &mpsc::Sender<PanelInput>, closed: &AtomicBool) {
    while !closed.load(Ordering::SeqCst) {
        let event = match event::poll(KEY_LOOK) {
            Ok(true) => event::read(),
            Ok(false) => continue,
            Err(_) => return,
        };
        let Ok(event) = event else { return };
        if let Some(input) = input(&event)
            && pressed.blocking_send(input).is_err()
        {
            return;
        }
    }
}

/// What an event of the terminal is to a screen.
fn input(event: &Event) -> Option<PanelInput> {
    match *event {
        Event::Key(KeyEvent {
            code, modifiers, kind: KeyEventKind::Press | KeyEventKind::Repeat, ..
        }) => {
            let ctrl = modifiers.contains(KeyModifiers::CONTROL);
            // Alt and a letter are no letter.
            let alt = modifiers.contains(KeyModifiers::ALT) && matches!(code, KeyCode::Char(_));
            (!alt).then_some(PanelInput::Key(KeyPress { code, ctrl }))
        }
        Event::Mouse(MouseEvent { kind, column, row, .. }) => match kind {
            MouseEventKind::Down(MouseButton::Left) => Some(PanelInput::Click(column, row)),
            MouseEventKind::ScrollUp => Some(PanelInput::Wheel(WheelTurn::Up(row))),
            MouseEventKind::ScrollDown => Some(PanelInput::Wheel(WheelTurn::Down(row))),
            _ => None,
        },
        // It is drawn in its new size.
        Event::Resize(..) => Some(PanelInput::Tick),
        _ => None,
    }
}

/// Presses and the wheel alone: crossterm's command asks for every move as well, which wakes the program all along.
#[cfg(unix)]
mod mouse {
    use std::io::{self, Write};

    /// Presses, in SGR's way of writing them, and no marks around what is pasted: it is typed.
    const ON: &[u8] = b"\x1b[?1000h\x1b[?1006h\x1b[?2004l";
    const OFF: &[u8] = b"\x1b[?1006l\x1b[?1000l";

    pub(super) fn begin(out: &mut impl Write) -> io::Result<()> {
        out.write_all(ON)?;
        out.flush()
    }

    pub(super) fn end(out: &mut impl Write) -> io::Result<()> {
        out.write_all(OFF)
    }
}

/// The console has a mode for it, which only crossterm can set.
#[cfg(windows)]
mod mouse {
    use std::io::{self, Write};

    use ratatui::crossterm::{
        event::{DisableMouseCapture, EnableMouseCapture},
        execute,
    };

    pub(super) fn begin(out: &mut impl Write) -> io::Result<()> {
        execute!(out, EnableMouseCapture)
    }

    pub(super) fn end(out: &mut impl Write) -> io::Result<()> {
        execute!(out, DisableMouseCapture)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_undoes_the_beginning() {
        let (mut on, mut off) = (Vec::new(), Vec::new());
        begin(&mut on).unwrap();
        end(&mut off).unwrap();
        let (on, off) = (String::from_utf8(on).unwrap(), String::from_utf8(off).unwrap());
        for mode in ["?1049", "?1000", "?1006"] {
            assert!(
                on.contains(&format!("\u{1b}[{mode}h")) && off.contains(&format!("\u{1b}[{mode}l")),
                "{mode}"
            );
        }
        assert!(on.contains("\u{1b}[?25l") && off.ends_with("\u{1b}[?25h"));
    }

    struct NoContent;

    impl ScreenContent for NoContent {
        fn draw(&mut self, _: &mut Frame<'_>) {}
    }

    /// However much changes while the terminal takes nothing, a command to leave finds room.
    #[tokio::test(start_paused = true)]
    async fn changes_leave_room_for_the_end() {
        let (commands, received) = threads::sync_channel(MAX_COMMANDS);
        let (_pressed, keys) = mpsc::channel(1);
        let content: SharedContent = Arc::new(Mutex::new(NoContent));
        let drawn = Arc::new(ScreenWork::of(Arc::clone(&content)));
        let screen = Screen { commands, drawn, keys, closed: Arc::default() };
        for _ in 0..2 * MAX_COMMANDS {
            assert!(screen.changed() && screen.show(Arc::clone(&content)));
            screen.redraw();
        }
        screen.leave().await;
        let all: Vec<_> = received.try_iter().collect();
        assert!(matches!(all.as_slice(), [DrawCommand::Draw, DrawCommand::Leave(_)]));
        drop(received);
        screen.drawn.is_due.store(false, Ordering::SeqCst);
        assert!(!screen.changed() && !screen.changed(), "the thread that draws is gone");
    }

    #[test]
    fn events() {
        let key = |code, modifiers| Event::Key(KeyEvent::new(code, modifiers));
        let ctrl_z = input(&key(KeyCode::Char('z'), KeyModifiers::CONTROL));
        assert_eq!(ctrl_z, Some(PanelInput::Key(KeyPress::ctrl('z'))));
        let capital = input(&key(KeyCode::Char('X'), KeyModifiers::SHIFT));
        assert_eq!(capital, Some(PanelInput::Key(KeyPress::char('X'))));
        assert_eq!(input(&key(KeyCode::Char('d'), KeyModifiers::ALT)), None);
        assert_eq!(input(&Event::Resize(1, 2)), Some(PanelInput::Tick));
        assert_eq!(input(&Event::FocusGained), None);
    }
}
