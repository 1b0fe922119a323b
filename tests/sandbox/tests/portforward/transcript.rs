//! The recorded transcripts, in the steps in which a client replays them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bytes::BytesMut;
use kubectl_fwd::spdy::frame::Frame;

use crate::framing::{find, take_frame, take_message};

/// What happened between two sends of the recorded client.
#[derive(Default)]
pub(crate) struct Step {
    pub(crate) pod_deleted: bool,
    pub(crate) sent: Vec<u8>,
    pub(crate) received: Vec<Frame>,
    pub(crate) took: Duration,
}

/// What one recorded client and its server sent each other.
pub(crate) struct Transcript {
    tunnel: bool,
    ends: bool,
    steps: Vec<Step>,
}

impl Transcript {
    pub(crate) fn load(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/wire").join(format!("{name}.jsonl"));
        let tunnel = name.ends_with(".tunnel");
        let (mut client, mut server) = (Side::new(tunnel), Side::new(tunnel));
        let mut transcript = Self { tunnel, ends: false, steps: vec![Step::default()] };
        let mut sent_at = 0.0;
        for line in std::fs::read_to_string(path).unwrap().lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let at = line["t_ms"].as_f64().unwrap();
            let bytes = || unhex(line["hex"].as_str().unwrap());
            if transcript.steps.last().is_some_and(|step| !step.received.is_empty() && line["dir"] == "c>s") {
                transcript.steps.push(Step::default());
            }
            let step = transcript.steps.last_mut().unwrap();
            match line["dir"].as_str().unwrap() {
                "c>s" => {
                    sent_at = at;
                    step.sent.extend(client.feed(&bytes()));
                }
                "s>c" => {
                    let spdy = server.feed(&bytes());
                    server.spdy.extend_from_slice(&spdy);
                    while let Some(frame) = take_frame(&mut server.spdy) {
                        step.received.push(frame);
                        step.took = Duration::from_secs_f64((at - sent_at) / 1000.0);
                    }
                }
                _ => {
                    let text = line["text"].as_str().unwrap();
                    step.pod_deleted |= text.starts_with("pod is deleted now");
                    transcript.ends |= text == "EOF from server";
                }
            }
        }
        transcript
    }

    pub(crate) fn is_tunnel(&self) -> bool {
        self.tunnel
    }

    pub(crate) fn ends(&self) -> bool {
        self.ends
    }

    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }
}

/// One direction of a transcript.
struct Side {
    tunnel: bool,
    upgraded: bool,
    raw: BytesMut,
    spdy: BytesMut,
}

impl Side {
    fn new(tunnel: bool) -> Self {
        Self { tunnel, upgraded: false, raw: BytesMut::new(), spdy: BytesMut::new() }
    }

    /// Takes recorded bytes; returns those of the SPDY stream among them.
    fn feed(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.raw.extend_from_slice(bytes);
        if !self.upgraded {
            let Some(end) = find(&self.raw, b"\r\n\r\n") else { return Vec::new() };
            let _ = self.raw.split_to(end + 4);
            self.upgraded = true;
        }
        if !self.tunnel {
            return self.raw.split().to_vec();
        }
        let mut spdy = Vec::new();
        while let Some((_, payload)) = take_message(&mut self.raw, true) {
            spdy.extend(payload);
        }
        spdy
    }
}

/// Each stream's frames in order, made comparable: ids, paths, dates and ephemeral ports out of the texts.
pub(crate) fn by_stream(frames: &[Frame]) -> BTreeMap<u32, Vec<String>> {
    let mut streams = BTreeMap::<u32, Vec<String>>::new();
    for frame in frames {
        let (stream, what) = match frame {
            Frame::SynReply { stream, fin } => (*stream, format!("reply fin={fin}")),
            Frame::Data { stream, payload, fin } => {
                (*stream, format!("data fin={fin} {}", comparable(&String::from_utf8_lossy(payload))))
            }
            Frame::Reset { stream, status } => (*stream, format!("reset {status}")),
            other => (0, format!("{other:?}")),
        };
        streams.entry(stream).or_default().push(what);
    }
    // Pings of different queues race.
    if let Some(session) = streams.get_mut(&0) {
        session.sort();
    }
    streams
}

fn comparable(text: &str) -> String {
    let mut lines: Vec<_> = text.split("\r\n").filter(|line| !line.starts_with("Date: ")).collect();
    lines.sort_unstable();
    let text = lines.join("\n");
    let mut out = String::new();
    for word in text.split_inclusive([' ', '"', ',', '>', ':', '-']) {
        let bare = word.trim_end_matches([' ', '"', ',', '>', ':', '-']);
        let id = bare.len() == 64 && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
        let port = bare.len() == 5 && bare.bytes().all(|byte| byte.is_ascii_digit());
        out.push_str(if id || port { "_" } else { bare });
        out.push_str(&word[bare.len()..]);
    }
    // The path of the network namespace.
    match out.split_once("network namespace \"/") {
        Some((before, after)) => {
            let (_, after) = after.split_once('"').unwrap();
            format!("{before}network namespace \"/_\"{after}")
        }
        None => out,
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}
