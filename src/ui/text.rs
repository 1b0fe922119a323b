//! The plain view: one line per event.

use std::{pin::pin, sync::Arc};

use tokio::{sync::broadcast, time};

use super::{
    OutputSettings,
    color::paint,
    output_writer::{OutputStream, OutputWriter},
    throttle::{HeldBackLine, Throttle},
    wording::{self, MessageLine, Severity},
};
use crate::model::event::{Event, EventKind};

/// Shows every event until there are no more senders, or until `stop`; then hands the door back.
pub async fn run(
    events: &mut broadcast::Receiver<Arc<Event>>,
    writer: OutputWriter,
    settings: OutputSettings,
    stop: impl Future<Output = ()>,
) -> OutputWriter {
    let mut lines = TextView { writer, settings, throttle: Throttle::default() };
    let mut stop = pin!(stop);
    loop {
        let due = lines.throttle.due();
        let overdue = async {
            match due {
                Some(at) => time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // What has happened is shown before the end is; and no flood of events holds up the count of them.
            biased;
            () = overdue => lines.catch_up(),
            event = events.recv() => match event {
                Ok(event) => lines.show(&event),
                Err(broadcast::error::RecvError::Lagged(count)) => lines.left_out(count),
                Err(broadcast::error::RecvError::Closed) => break,
            },
            () = &mut stop => break,
        }
    }
    lines.finish()
}

struct TextView {
    writer: OutputWriter,
    settings: OutputSettings,
    throttle: Throttle,
}

impl TextView {
    fn show(&mut self, event: &Event) {
        let Some(line) = wording::line(event) else { return };
        let now = time::Instant::now();
        if matches!(event.kind, EventKind::ConnectionFailed { .. }) {
            let target = line.subject.as_deref().unwrap_or_default();
            if !self.throttle.admit(target, &line.text, now) {
                return;
            }
        } else if let Some(counted) =
            line.subject.as_deref().and_then(|target| self.throttle.flush(target, now))
        {
            self.failures(counted);
        }
        self.write(&line);
    }

    /// Says what was counted, now that a second is over.
    fn catch_up(&mut self) {
        for counted in self.throttle.overdue(time::Instant::now()) {
            self.failures(counted);
        }
    }

    fn failures(&mut self, counted: HeldBackLine) {
        let HeldBackLine { target, text } = counted;
        self.write(&MessageLine {
            stream: OutputStream::Err,
            severity: Severity::Error,
            subject: Some(target),
            text,
        });
    }

    fn left_out(&mut self, count: u64) {
        let text = format!("{count} events came too fast and are not shown");
        self.write(&MessageLine {
            stream: OutputStream::Err,
            severity: Severity::Warning,
            subject: None,
            text,
        });
    }

    fn write(&mut self, line: &MessageLine) {
        if self.settings.quiet && line.severity < Severity::Error {
            return;
        }
        let text = match &line.subject {
            // kubectl's line is never coloured: it is for scripts. Nor is what is about no target.
            None => line.text.clone(),
            Some(subject) => {
                let head = format!("{subject}:");
                let head = paint(self.settings.colors.stderr, &head, line.severity.style());
                format!("{head} {}", line.text)
            }
        };
        self.writer.write_line(line.stream, text);
    }

    fn finish(mut self) -> OutputWriter {
        for counted in self.throttle.flush_all(time::Instant::now()) {
            self.failures(counted);
        }
        self.writer
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, time::Duration};

    use super::*;
    use crate::{
        model::{endpoint::PodId, event::LocalAddress},
        ui::{
            color::{Colors, Styling},
            output_writer::tests::CapturedOutput,
        },
    };

    fn event(what: EventKind) -> Arc<Event> {
        Arc::new(Event::example([1], what))
    }

    fn forwarding() -> EventKind {
        let pod = PodId { namespace: "n".into(), name: "p".into(), uid: "u".into() };
        EventKind::Forwarding { local: LocalAddress::Tcp(([127, 0, 0, 1], 8080).into()), pod_port: 80, pod }
    }

    fn refused() -> EventKind {
        EventKind::ConnectionFailed { pod: None, pod_port: None, why: "refused".into() }
    }

    fn notice() -> EventKind {
        EventKind::Notice { text: "note".into() }
    }

    /// What is shown of these, on both streams.
    async fn shown(happenings: Vec<EventKind>, settings: OutputSettings) -> (String, String) {
        let (out, err) = (CapturedOutput::default(), CapturedOutput::default());
        let writer = OutputWriter::to(out.clone(), err.clone()).unwrap();
        let (sender, mut events) = broadcast::channel(8);
        for what in happenings {
            sender.send(event(what)).unwrap();
        }
        drop(sender);
        let writer = run(&mut events, writer, settings, pending()).await;
        assert!(writer.close(Duration::from_secs(10)));
        (out.text(), err.text())
    }

    #[tokio::test]
    async fn streams_and_quiet() {
        let all = || vec![forwarding(), notice(), refused(), refused(), notice()];
        let (out, err) = shown(all(), OutputSettings::default()).await;
        assert_eq!(out, "Forwarding from 127.0.0.1:8080 -> 80\n");
        assert_eq!(
            err,
            "svc/api: note\nsvc/api: connection failed: refused\n\
             svc/api: connection failed: refused (1 more like it)\nsvc/api: note\n"
        );
        let quiet = OutputSettings { quiet: true, ..OutputSettings::default() };
        let (out, err) = shown(all(), quiet).await;
        assert_eq!(out, "");
        assert_eq!(err.lines().count(), 2);
        let colored = OutputSettings {
            colors: Colors { stdout: Styling::Ansi, stderr: Styling::Ansi },
            ..OutputSettings::default()
        };
        let (out, err) = shown(all(), colored).await;
        assert!(!out.contains('\u{1b}') && err.starts_with("\u{1b}[1msvc/api:\u{1b}[0m note\n"));
    }

    #[tokio::test]
    async fn a_lag_is_told() {
        let (_, err) = shown((0..11).map(|_| notice()).collect(), OutputSettings::default()).await;
        assert_eq!(err.lines().next(), Some("3 events came too fast and are not shown"));
        assert_eq!(err.lines().count(), 9);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_counted_for_a_second() {
        let err = CapturedOutput::default();
        let writer = OutputWriter::to(CapturedOutput::default(), err.clone()).unwrap();
        let (sender, mut events) = broadcast::channel(64);
        let view =
            tokio::spawn(async move { run(&mut events, writer, OutputSettings::default(), pending()).await });
        for _ in 0..30 {
            sender.send(event(refused())).unwrap();
        }
        time::sleep(Duration::from_millis(2500)).await;
        sender.send(event(refused())).unwrap();
        drop(sender);
        assert!(view.await.unwrap().close(Duration::from_secs(10)));
        let failed = "svc/api: connection failed: refused";
        assert_eq!(err.text(), format!("{failed}\n{failed} (29 more like it)\n{failed}\n"));
    }

    #[tokio::test]
    async fn the_end_may_come_first() {
        let (_sender, mut events) = broadcast::channel(8);
        let writer = OutputWriter::to(CapturedOutput::default(), CapturedOutput::default()).unwrap();
        let writer = run(&mut events, writer, OutputSettings::default(), async {}).await;
        assert!(writer.close(Duration::from_secs(10)));
    }
}
