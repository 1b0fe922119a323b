//! What a panic says: a plain line that tells people where it was, and the rest at `-v 4`.
//!
//! A task's panic ends that task alone, a connection for example, with all that it holds; the others go on. One outside
//! every task ends the command, as an error.

use std::{
    io::{self, Write as _},
    panic::{self, AssertUnwindSafe, PanicHookInfo},
    thread,
};

use parking_lot::Mutex;

use super::panel::screen;
use crate::error::Fatal;

/// Where mistakes are reported.
const ISSUES: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/issues");

/// Where the last panic outside every task was.
static WHERE: Mutex<String> = Mutex::new(String::new());

/// From now on panics of this process are told so.
pub(super) fn install() {
    panic::set_hook(Box::new(print_panic));
}

/// From now on panics of this process are told to nobody.
pub(super) fn silence() {
    panic::set_hook(Box::new(|_| {}));
}

fn print_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    tracing::debug!("{panic}");
    let (thread, is_task) = (thread::current(), tokio::task::try_id().is_some());
    let is_main = !is_task && thread.name() == Some("main");
    if is_main || thread.name() == Some(screen::DRAWING) {
        // The screen ends with it, and the terminal is somebody's.
        screen::restore();
    }
    if is_main {
        *WHERE.lock() = place;
        return;
    }
    let text = of_a_task(&place);
    if tracing::enabled!(tracing::Level::WARN) {
        tracing::warn!("{text}");
    } else {
        // There is no log yet. A closed stderr leaves nobody to tell.
        let _ = writeln!(io::stderr().lock(), "{text}");
    }
}

fn of_a_task(place: &str) -> String {
    format!(
        "a bug in kubectl fwd ended one of its tasks ({place}); everything else goes on. Please report it: {ISSUES}"
    )
}

/// Does the command's work; a panic becomes its error.
pub(super) fn or_error<T>(work: impl FnOnce() -> Result<T, Fatal>) -> Result<T, Fatal> {
    // What is left half-way is not used again: the process ends.
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let place = WHERE.lock().clone();
        Err(Fatal::new("fwd::internal", "kubectl fwd ended because of a bug")
            .because(format!("it panicked at {place}"))
            .help(format!("please report it with the output of -v 4: {ISSUES}")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error() {
        let fatal = or_error::<()>(|| panic!("a secret, or an escape sequence")).unwrap_err();
        assert_eq!(fatal.code(), "fwd::internal");
        assert!(!fatal.causes().any(|why| why.contains("secret")));
        assert_eq!(or_error(|| Ok(1)), Ok(1));
        assert!(of_a_task("src/a.rs:1:2").contains("src/a.rs:1:2"));
    }

    /// What panics as soon as it is drawn.
    #[cfg(target_os = "linux")]
    struct PanickingContent;

    #[cfg(target_os = "linux")]
    impl screen::ScreenContent for PanickingContent {
        fn draw(&mut self, _: &mut ratatui::Frame<'_>) {
            panic!("on a full screen");
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    #[ignore = "it needs a terminal, and is run by a_panic_gives_the_terminal_back"]
    async fn a_screen_that_panics() {
        install();
        let content: screen::SharedContent = std::sync::Arc::new(Mutex::new(PanickingContent));
        let screen = screen::Screen::open(content).unwrap();
        // The terminal draws no more once its thread is gone; a second look finds the same.
        while screen.changed() {
            tokio::task::yield_now().await;
        }
        assert!(!screen.changed());
    }

    /// Under a real terminal, which script(1) makes: the screen is left before the panic is told, and the mode is the one
    /// before.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_panic_gives_the_terminal_back() {
        let program = std::env::current_exe().unwrap();
        let line = format!(
            "stty -g; {} --exact app::panics::tests::a_screen_that_panics --ignored --nocapture; stty -g",
            program.display()
        );
        let all = std::process::Command::new("script").args(["-qec", &line, "/dev/null"]).output().unwrap();
        let text = String::from_utf8_lossy(&all.stdout);
        let modes: Vec<_> =
            text.lines().map(str::trim).filter(|line| line.matches(':').count() > 20).collect();
        assert!(matches!(modes.as_slice(), [before, after] if before == after), "{text}");
        let (_, shown) = text.split_once("\x1b[?1049h").expect("a full screen");
        let (_, left) = shown.split_once("\x1b[?1049l").expect("the screen is left");
        assert!(left.contains("a bug in kubectl fwd"), "{text}");
    }
}
