//! A forward in the panel: what its process tells of it, what happened to it lately, and how much it carries.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

use super::told::{ToldEnd, ToldEvent};
use crate::{
    model::forward::{ByteCounts, PortForward},
    ui::{list::RowState, wording::Severity},
};

/// Events that are kept of a forward: some screens of them.
pub const LOG_LINES: usize = 200;
/// Seconds that a sparkline shows.
pub const SAMPLES: usize = 10;
/// How long a forward that was stopped stays on the screen: long enough to be seen to go.
pub const STOPPED_SHOWN: SignedDuration = SignedDuration::from_secs(3);
/// How long one that failed does: long enough to look at why.
pub const FAILED_SHOWN: SignedDuration = SignedDuration::from_secs(8);

/// A line of a forward's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PanelLine {
    /// When.
    pub at: Timestamp,
    /// How bad it is.
    pub severity: Severity,
    /// What happened.
    pub text: String,
}

/// Bytes a second, lately.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ByteRate {
    /// Now.
    pub now: u64,
    /// Of each of the last seconds, the oldest first.
    pub samples: VecDeque<u64>,
}

/// A row.
#[derive(Debug, Clone, PartialEq)]
pub struct PanelRow {
    /// What its process told last.
    pub forward: PortForward,
    /// Where it is.
    pub state: RowState,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// What happened.
    pub log: VecDeque<PanelLine>,
    /// From the pod.
    pub inbound: ByteRate,
    /// To the pod.
    pub outbound: ByteRate,
    counted: Timestamp,
}

impl ByteRate {
    fn record(&mut self, bytes: u64, seconds: f64) {
        #[expect(clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "a rate is for the eye")]
        let rate = (bytes as f64 / seconds) as u64;
        self.now = rate;
        // What came in a longer time came in each second of it.
        #[expect(clippy::cast_sign_loss, reason = "it is positive")]
        let slots = (seconds.round() as usize).clamp(1, SAMPLES);
        for _ in 0..slots {
            if self.samples.len() >= SAMPLES {
                self.samples.pop_front();
            }
            self.samples.push_back(rate);
        }
    }
}

impl PanelRow {
    /// A forward that is seen for the first time.
    pub fn new(forward: PortForward, now: Timestamp) -> Self {
        Self {
            state: RowState::Running(forward.state),
            forward,
            ended: None,
            log: VecDeque::new(),
            inbound: ByteRate::default(),
            outbound: ByteRate::default(),
            counted: now,
        }
    }

    /// What its process tells of it now.
    pub fn update(&mut self, forward: PortForward, now: Timestamp) {
        let seconds = now.duration_since(self.counted).as_secs_f64();
        // Two answers in one moment make no rate.
        if seconds >= 0.2 {
            let ByteCounts { inbound, outbound } = self.forward.bytes;
            self.inbound.record(forward.bytes.inbound.saturating_sub(inbound), seconds);
            self.outbound.record(forward.bytes.outbound.saturating_sub(outbound), seconds);
            self.counted = now;
            self.forward = forward;
        } else {
            self.forward = PortForward { bytes: self.forward.bytes, ..forward };
        }
        self.state = RowState::Running(self.forward.state);
    }

    /// Something happened to it.
    pub fn tell(&mut self, event: &ToldEvent, now: Timestamp) {
        let (severity, text) = event.words();
        self.say(PanelLine { at: event.at, severity, text });
        match event.end() {
            Some(ToldEnd::Stopped) => self.end(RowState::Stopped, now),
            Some(ToldEnd::Failed(_)) => self.end(RowState::Failed, now),
            None => {}
        }
    }

    /// Adds a line to its log.
    pub fn say(&mut self, line: PanelLine) {
        if self.log.len() >= LOG_LINES {
            self.log.pop_front();
        }
        self.log.push_back(line);
    }

    /// It is over.
    pub fn end(&mut self, state: RowState, now: Timestamp) {
        if self.ended.is_none() {
            (self.ended, self.state) = (Some(now), state);
            (self.inbound.now, self.outbound.now) = (0, 0);
        }
    }

    /// Whether it has been over for so long that it is not shown any more.
    pub fn is_past(&self, now: Timestamp) -> bool {
        let shown = if self.state == RowState::Failed { FAILED_SHOWN } else { STOPPED_SHOWN };
        self.ended.is_some_and(|ended| now.duration_since(ended) >= shown)
    }

    /// Whether the text is somewhere in it, whatever the case of its letters.
    pub fn matches(&self, filter: &str) -> bool {
        let one = &self.forward;
        let id = one.id.to_string();
        let fields = [
            crate::ui::list::target(one),
            one.namespace.clone(),
            one.context.clone().unwrap_or_default(),
            crate::ui::list::local(one),
            one.pod.clone().unwrap_or_default(),
            one.label.clone().unwrap_or_default(),
            self.state.word().to_owned(),
            id,
        ];
        let filter = filter.to_lowercase();
        fields.iter().any(|field| field.to_lowercase().contains(&filter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ports::RemotePort;

    #[test]
    fn rates_are_of_the_time_between_two_answers() {
        let at = |seconds: i64| Timestamp::from_second(seconds).unwrap();
        let carried = |inbound| PortForward {
            bytes: ByteCounts { inbound, outbound: 0 },
            ..PortForward::example("service", "api", RemotePort::Number(80))
        };
        let mut row = PanelRow::new(carried(5), at(0));
        row.update(carried(1005), at(1));
        row.update(carried(1605), at(4));
        assert_eq!((row.inbound.now, row.inbound.samples.as_slices().0), (200, &[1000, 200, 200, 200][..]));
        row.update(carried(1605), at(40));
        assert_eq!(row.inbound.samples.len(), SAMPLES);
        // Two answers at once: the second one's bytes count in the next.
        row.update(carried(1705), at(40));
        row.update(carried(1705), at(41));
        assert_eq!(row.inbound.now, 100);
    }
}
