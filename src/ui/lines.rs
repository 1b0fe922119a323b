//! The plain view: one line an event.

use std::{pin::pin, sync::Arc};

use tokio::{sync::broadcast, time};

use super::{
    Settings,
    color::paint,
    door::{Door, Stream},
    throttle::{Overdue, Throttle},
    wording::{self, Gravity, Line},
};
use crate::model::event::{Event, Happening};

/// Shows every event until there are no more senders, or until `stop`; then hands the door back.
pub async fn run(
    events: &mut broadcast::Receiver<Arc<Event>>,
    door: Door,
    settings: Settings,
    stop: impl Future<Output = ()>,
) -> Door {
    let mut lines = Lines { door, settings, throttle: Throttle::default() };
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

struct Lines {
    door: Door,
    settings: Settings,
    throttle: Throttle,
}

impl Lines {
    fn show(&mut self, event: &Event) {
        let Some(line) = wording::line(event) else { return };
        let now = time::Instant::now();
        if matches!(event.what, Happening::ConnectionFailed { .. }) {
            let target = line.subject.as_deref().unwrap_or_default();
            if !self.throttle.admit(target, &line.text, now) {
                return;
            }
        } else if let Some(counted) =
            line.subject.as_deref().and_then(|target| self.throttle.flush(target, now))
        {
            self.failures(counted);
        }
        self.say(&line);
    }

    /// Says what was counted, now that a second is over.
    fn catch_up(&mut self) {
        for counted in self.throttle.overdue(time::Instant::now()) {
            self.failures(counted);
        }
    }

    fn failures(&mut self, counted: Overdue) {
        let Overdue { target, text } = counted;
        self.say(&Line { stream: Stream::Err, gravity: Gravity::Error, subject: Some(target), text });
    }

    fn left_out(&mut self, count: u64) {
        let text = format!("{count} events came too fast and are not shown");
        self.say(&Line { stream: Stream::Err, gravity: Gravity::Warning, subject: None, text });
    }

    fn say(&mut self, line: &Line) {
        if self.settings.quiet && line.gravity < Gravity::Error {
            return;
        }
        let text = match &line.subject {
            // kubectl's line is never coloured: it is for scripts. Nor is what is about no target.
            None => line.text.clone(),
            Some(subject) => {
                let head = format!("{subject}:");
                let head = paint(self.settings.colors.stderr, &head, line.gravity.style());
                format!("{head} {}", line.text)
            }
        };
        self.door.say(line.stream, text);
    }

    fn finish(mut self) -> Door {
        for counted in self.throttle.flush_all(time::Instant::now()) {
            self.failures(counted);
        }
        self.door
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, time::Duration};

    use jiff::Timestamp;

    use super::*;
    use crate::{
        model::{endpoint::PodId, event::Bound, forward::ForwardId},
        ui::{
            color::{Colors, Styling},
            door::tests::Seen,
        },
    };

    fn event(what: Happening) -> Arc<Event> {
        let forwards = [ForwardId::from_bits(1)].into();
        Arc::new(Event {
            at: Timestamp::UNIX_EPOCH,
            forwards,
            target: "svc/api".into(),
            ports: vec![],
            label: None,
            what,
        })
    }

    fn forwarding() -> Happening {
        let pod = PodId { namespace: "n".into(), name: "p".into(), uid: "u".into() };
        Happening::Forwarding { local: Bound::Tcp(([127, 0, 0, 1], 8080).into()), pod_port: 80, pod }
    }

    fn refused() -> Happening {
        Happening::ConnectionFailed { pod: None, pod_port: None, why: "refused".into() }
    }

    fn notice() -> Happening {
        Happening::Notice { text: "note".into() }
    }

    /// What is shown of these, on both streams.
    async fn shown(happenings: Vec<Happening>, settings: Settings) -> (String, String) {
        let (out, err) = (Seen::default(), Seen::default());
        let door = Door::to(out.clone(), err.clone()).unwrap();
        let (sender, mut events) = broadcast::channel(8);
        for what in happenings {
            sender.send(event(what)).unwrap();
        }
        drop(sender);
        let door = run(&mut events, door, settings, pending()).await;
        assert!(door.close(Duration::from_secs(10)));
        (out.text(), err.text())
    }

    #[tokio::test]
    async fn streams_and_quiet() {
        let all = || vec![forwarding(), notice(), refused(), refused(), notice()];
        let (out, err) = shown(all(), Settings::default()).await;
        assert_eq!(out, "Forwarding from 127.0.0.1:8080 -> 80\n");
        assert_eq!(
            err,
            "svc/api: note\nsvc/api: connection failed: refused\n\
             svc/api: connection failed: refused (1 more like it)\nsvc/api: note\n"
        );
        let quiet = Settings { quiet: true, ..Settings::default() };
        let (out, err) = shown(all(), quiet).await;
        assert_eq!(out, "");
        assert_eq!(err.lines().count(), 2);
        let colored = Settings {
            colors: Colors { stdout: Styling::Ansi, stderr: Styling::Ansi },
            ..Settings::default()
        };
        let (out, err) = shown(all(), colored).await;
        assert!(!out.contains('\u{1b}') && err.starts_with("\u{1b}[1msvc/api:\u{1b}[0m note\n"));
    }

    #[tokio::test]
    async fn a_lag_is_told() {
        let (_, err) = shown((0..11).map(|_| notice()).collect(), Settings::default()).await;
        assert_eq!(err.lines().next(), Some("3 events came too fast and are not shown"));
        assert_eq!(err.lines().count(), 9);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_counted_for_a_second() {
        let err = Seen::default();
        let door = Door::to(Seen::default(), err.clone()).unwrap();
        let (sender, mut events) = broadcast::channel(64);
        let view = tokio::spawn(async move { run(&mut events, door, Settings::default(), pending()).await });
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
        let door = Door::to(Seen::default(), Seen::default()).unwrap();
        let door = run(&mut events, door, Settings::default(), async {}).await;
        assert!(door.close(Duration::from_secs(10)));
    }
}
