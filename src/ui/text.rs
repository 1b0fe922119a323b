//! The view for people: lines, and on a terminal status lines below them.

use std::{pin::pin, sync::Arc};

use tokio::{
    sync::broadcast,
    time::{self, Instant},
};

use super::{
    OutputSettings, Presentation,
    color::paint,
    known::KnownForwards,
    outages::{OutageNews, Outages},
    output_writer::{OutputStream, OutputWriter},
    status,
    throttle::{HeldBackLine, Throttle},
    wording::{self, EventContext, MessageLine, OutageTold, Severity},
};
use crate::{
    cluster::wait_notifier::WaitReceiver,
    model::event::{Event, EventKind},
};

/// What the view knows of the events so far.
pub struct TextState {
    waits: WaitReceiver,
    outages: Outages,
    known: KnownForwards,
}

impl TextState {
    /// Before the first event. `waits` are shown where status lines are.
    pub fn new(waits: WaitReceiver) -> Self {
        Self { waits, outages: Outages::default(), known: KnownForwards::default() }
    }
}

/// Shows every event until there are no more senders, or until `stop`; then hands the door back.
pub async fn run(
    events: &mut broadcast::Receiver<Arc<Event>>,
    state: &mut TextState,
    writer: OutputWriter,
    settings: OutputSettings,
    stop: impl Future<Output = ()>,
) -> OutputWriter {
    let mut view = TextView { writer, settings, state, throttle: Throttle::default(), status_due: None };
    let mut stop = pin!(stop);
    loop {
        let due = view.due();
        let overdue = async {
            match due {
                Some(at) => time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // What has happened is shown before the end is; and no flood of events holds up the count of them.
            biased;
            () = overdue => view.catch_up(),
            event = events.recv() => match event {
                Ok(event) => view.show(&event),
                Err(broadcast::error::RecvError::Lagged(count)) => view.left_out(count),
                Err(broadcast::error::RecvError::Closed) => break,
            },
            () = view.state.waits.changed() => {}
            () = &mut stop => break,
        }
        view.show_status();
    }
    view.finish()
}

struct TextView<'a> {
    writer: OutputWriter,
    settings: OutputSettings,
    state: &'a mut TextState,
    throttle: Throttle,
    /// When the status lines change although nothing happens.
    status_due: Option<Instant>,
}

impl TextView<'_> {
    fn is_live(&self) -> bool {
        self.settings.presentation == Presentation::Live
    }

    /// When there is something to say although nothing happens.
    fn due(&self) -> Option<Instant> {
        let outages = if self.is_live() { self.status_due } else { self.state.outages.due() };
        [self.throttle.due(), outages].into_iter().flatten().min()
    }

    fn show(&mut self, event: &Event) {
        let now = Instant::now();
        let news = self.state.outages.observe(event, now);
        let line = self.line(event, &news, now);
        self.state.known.observe(event);
        let Some(line) = line else { return };
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

    /// The line of an event. None where a status line says it, or where it was said.
    fn line(&self, event: &Event, news: &OutageNews, now: Instant) -> Option<MessageLine> {
        let is_wait = event.forwards.is_empty() && matches!(event.kind, EventKind::Notice { .. });
        match news {
            OutageNews::Known => return None,
            OutageNews::New if self.is_live() => return None,
            OutageNews::Unrelated if self.is_live() && is_wait => return None,
            _ => {}
        }
        let ended = if let OutageNews::Over(outage) = news { Some(outage) } else { None };
        let outage_told = if self.is_live() { OutageTold::No } else { OutageTold::Yes };
        let (known, stdout) = (&self.state.known, self.settings.stdout);
        wording::line(event, EventContext { ended, outage_told, known, stdout, now })
    }

    /// Shows what is the case now, where there are status lines.
    fn show_status(&mut self) {
        if !self.is_live() {
            return;
        }
        let now = Instant::now();
        let waits = self.state.waits.now();
        let (outages, styling) = (self.state.outages.open(), self.settings.colors.stderr);
        self.writer.show_status(status::lines(outages, &waits, styling, now));
        self.status_due = status::next_change(outages, &waits, now);
    }

    /// Says what is due by now: what was counted, and which outages go on.
    fn catch_up(&mut self) {
        let now = Instant::now();
        for counted in self.throttle.overdue(now) {
            self.failures(counted);
        }
        if self.is_live() {
            return;
        }
        for outage in self.state.outages.overdue(now) {
            self.write(&wording::reminder(&outage, now));
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
        let time = match line.stream {
            OutputStream::Out => String::new(),
            OutputStream::Err => self.settings.times.prefix(),
        };
        self.writer.write_line(line.stream, time + &text);
    }

    fn finish(mut self) -> OutputWriter {
        for counted in self.throttle.flush_all(Instant::now()) {
            self.failures(counted);
        }
        self.writer.show_status(Vec::new());
        self.writer
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, time::Duration};

    use super::*;
    use crate::{
        cluster::wait_notifier::WaitNotifier,
        model::{
            endpoint::PodId,
            event::{LocalAddress, Unreachable},
        },
        ui::{
            color::{Colors, Styling},
            output_writer::tests::CapturedOutput,
        },
    };

    fn state() -> TextState {
        TextState::new(WaitNotifier::silent().waits())
    }

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
        let writer = run(&mut events, &mut state(), writer, settings, pending()).await;
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
        let view = tokio::spawn(async move {
            run(&mut events, &mut state(), writer, OutputSettings::default(), pending()).await
        });
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

    /// An outage of a day, with an attempt every ten seconds.
    #[tokio::test(start_paused = true)]
    async fn a_long_outage_is_told_now_and_then() {
        let err = CapturedOutput::default();
        let writer = OutputWriter::to(CapturedOutput::default(), err.clone()).unwrap();
        let (sender, mut events) = broadcast::channel(64);
        let view = tokio::spawn(async move {
            run(&mut events, &mut state(), writer, OutputSettings::default(), pending()).await
        });
        let pod = || PodId { namespace: "n".into(), name: "p".into(), uid: "u".into() };
        for _ in 0..24 * 360 {
            let (unreachable, next) = (Unreachable::Cluster, Duration::from_secs(10));
            sender
                .send(event(EventKind::Lost { pod: pod(), unreachable, why: "refused".into(), next }))
                .unwrap();
            time::sleep(next).await;
        }
        sender.send(event(EventKind::Recovered { pod: pod() })).unwrap();
        drop(sender);
        assert!(view.await.unwrap().close(Duration::from_secs(10)));
        let text = err.text();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 1 + 6 + 22 + 1, "{text}");
        assert_eq!(lines[0], "svc/api: cluster unreachable (refused), retrying within 10 s");
        assert!(
            lines[1].starts_with("svc/api: cluster unreachable for 60 s now (refused), "),
            "{}",
            lines[1]
        );
        assert_eq!(lines[29], "svc/api: connected to pod p again after 24 h");
    }

    #[tokio::test]
    async fn the_end_may_come_first() {
        let (_sender, mut events) = broadcast::channel(8);
        let writer = OutputWriter::to(CapturedOutput::default(), CapturedOutput::default()).unwrap();
        let writer = run(&mut events, &mut state(), writer, OutputSettings::default(), async {}).await;
        assert!(writer.close(Duration::from_secs(10)));
    }
}
