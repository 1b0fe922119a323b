//! What holds for any input whatever: each function takes bytes and panics where it does not hold.
//!
//! libFuzzer looks for such bytes (`fuzz/`), and `main.rs` beside this tries some at random in every test run.

#![allow(unreachable_pub, reason = "the package of the fuzz targets has it as well")]

use std::{convert::Infallible, ffi::OsString};

use bytes::{Bytes, BytesMut};
use hyper_util::rt::TokioIo;
use kubectl_fwd::{
    cli::{
        self, Invocation,
        complete::{Candidate, complete},
        grammar::{self, ArgToken},
        resolve::{Environment, resolve},
    },
    cluster::{
        client::ClusterConfig,
        config::flags::{ClusterEnvironment, Flags},
    },
    control::{
        methods::read_start,
        rpc::{self, RpcMessage, RpcRequest},
    },
    input::{duration, placeholder},
    model::{
        endpoint::PodId,
        ports::{Address, PortSpec, RemotePort},
        target::Target,
    },
    sets::{self, ForwardSet, ReadSet, SetDocument},
    spdy::{
        frame::{self, Frame, FrameDecoder, FrameError},
        session::CreditMode,
    },
    tunnel::{
        protocol::Protocol,
        upgrade::{UpgradeError, upgrade},
        websocket::{self, WebSocketError, WebSocketEvent},
    },
    ui::{
        color::Styling,
        report::{ReportStyle, render},
    },
};

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tower::service_fn;

use self::spdy_peer::Peer;

// Named, since two packages have this file: a test and the fuzz targets.
#[path = "spdy_peer.rs"]
mod spdy_peer;

/// Bytes to take choices and lengths from; past the end it gives zeros.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    fn word(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// The rest, cut where the byte in front says, again and again: no cut at 0, single bytes at 1.
    fn cut(mut self) -> (Vec<u8>, Vec<Bytes>) {
        let step = match usize::from(self.byte()) {
            0 => usize::MAX,
            step => step,
        };
        (self.0.to_vec(), self.0.chunks(step).map(Bytes::copy_from_slice).collect())
    }
}

/// However the bytes are cut, the same frames come out, and then the same error.
pub fn spdy_decoder(data: &[u8]) {
    let (whole, parts) = Script(data).cut();
    let (frames, error) = decoded(vec![Bytes::from(whole.clone())]);
    assert_eq!(decoded(parts), (frames.clone(), error));
    let carried: usize = frames.iter().map(|frame| payload(frame).len()).sum();
    assert!(carried <= whole.len(), "bytes out of nowhere");
    for frame in &frames {
        if let Frame::SynStream { stream, block, priority, .. } = frame {
            assert!(*stream > 0 && *stream <= frame::MAX_STREAM_ID && *priority < 8);
            assert!(block.len() <= frame::MAX_CONTROL);
        }
    }
}

fn payload(frame: &Frame) -> &[u8] {
    if let Frame::Data { payload, .. } = frame { payload } else { &[] }
}

/// All frames, the pieces of DATA that follow one another on a stream as one.
fn decoded(parts: Vec<Bytes>) -> (Vec<Frame>, Option<FrameError>) {
    let (mut decoder, mut frames) = (FrameDecoder::default(), Vec::new());
    for mut part in parts {
        loop {
            match decoder.decode(&mut part) {
                Ok(Some(frame)) => join(&mut frames, frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
        assert!(part.is_empty(), "more was wanted while there was some");
    }
    (frames, None)
}

fn join(frames: &mut Vec<Frame>, next: Frame) {
    if let (
        Some(Frame::Data { stream, payload, fin: fin @ false }),
        Frame::Data { stream: of, payload: more, fin: last },
    ) = (frames.last_mut(), &next)
        && stream == of
    {
        *payload = [payload.as_ref(), more.as_ref()].concat().into();
        *fin = *last;
        return;
    }
    frames.push(next);
}

/// However the bytes are cut, the same payload and the same control frames come out, and then the same error.
pub fn websocket_decoder(data: &[u8]) {
    let (whole, parts) = Script(data).cut();
    let all = unwrapped(vec![Bytes::from(whole.clone())]);
    assert!(all.payload.len() <= whole.len(), "bytes out of nowhere");
    assert!(all.messages.iter().all(|at| *at <= all.payload.len()));
    assert_eq!(unwrapped(parts), all);
}

#[derive(Debug, Default, PartialEq)]
struct Unwrapped {
    payload: Vec<u8>,
    /// Where in the payload messages ended.
    messages: Vec<usize>,
    pings: Vec<Bytes>,
    closed: Vec<u16>,
    error: Option<WebSocketError>,
}

fn unwrapped(parts: Vec<Bytes>) -> Unwrapped {
    let (mut decoder, mut all) = (websocket::WebSocketDecoder::default(), Unwrapped::default());
    for mut part in parts {
        loop {
            match decoder.decode(&mut part) {
                Ok(Some(WebSocketEvent::Payload { bytes, ends, .. })) => {
                    all.payload.extend_from_slice(&bytes);
                    if ends {
                        all.messages.push(all.payload.len());
                    }
                }
                Ok(Some(WebSocketEvent::Ping(payload))) => {
                    assert!(payload.len() <= 125);
                    all.pings.push(payload);
                }
                Ok(Some(WebSocketEvent::Close(status))) => all.closed.push(status),
                Ok(None) => break,
                Err(error) => {
                    all.error = Some(error);
                    return all;
                }
            }
        }
        assert!(part.is_empty(), "more was wanted while there was some");
    }
    all
}

/// A peer that says anything at all: what we write stays SPDY with ascending ids, a pair ends once, and nothing is
/// heard of it afterwards.
pub fn spdy_session(data: &[u8]) {
    let mut script = Script(data);
    let mut peer = Peer::new(if script.byte() & 1 == 0 { CreditMode::On } else { CreditMode::Off });
    while !script.0.is_empty() {
        let op = script.byte();
        let alive = match op % 12 {
            0 | 1 => peer.open(script.word()),
            2 | 3 => peer.send(script.byte(), script.word(), op & 0x80 != 0),
            4 => peer.reset(script.byte()),
            5 => peer.keep_alive(),
            6 => peer.flush(),
            // What an honest peer would say of one of our streams, at a time of its own.
            7 => peer.answer(script.byte(), |stream, out| {
                out.extend_from_slice(&(0x8003_0002_u32).to_be_bytes());
                out.extend_from_slice(&(u32::from(op >> 7) << 24 | 4).to_be_bytes());
                out.extend_from_slice(&stream.to_be_bytes());
            }),
            8 => peer.answer(script.byte(), |stream, out| frame::put_reset(out, stream, 3)),
            9 => {
                let payload = script.take(usize::from(op >> 4));
                peer.answer(script.byte(), |stream, out| {
                    out.extend_from_slice(&frame::data_head(stream, payload.len(), op & 0x80 != 0));
                    out.extend_from_slice(payload);
                })
            }
            10 => {
                let mut out = BytesMut::new();
                frame::put_ping(&mut out, u32::from(script.byte()));
                peer.hear(&out)
            }
            _ => {
                let length = usize::from(script.byte());
                peer.hear(script.take(length))
            }
        };
        if !alive {
            break;
        }
    }
    peer.end();
}

/// Any words are understood or refused, and completed; what is said of them keeps to one's terminal and to oneself.
pub fn command_line(data: &[u8]) {
    const SECRET: &str = "hush-hush";
    let words = ["--token", SECRET]
        .map(OsString::from)
        .into_iter()
        .chain(data.split(|byte| *byte == b'\n').map(word));
    let words: Vec<OsString> = words.collect();
    let found = String::from_utf8_lossy(data);
    let answer = complete(&words).answer(vec![Candidate::new(&*found, &*found)]);
    assert!(answer.lines().last().is_some_and(|line| line.starts_with(':')), "{answer:?}");
    assert!(!answer.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t')), "{answer:?}");
    let outcome = cli::parse(&words).and_then(|invocation| match invocation {
        Invocation::Forward(typed) => resolve(*typed, Environment::default()).map(drop),
        _ => Ok(()),
    });
    if let Err(fatal) = outcome {
        let said = render(&fatal, ReportStyle { fancy: false, color: Styling::Plain });
        assert!(said.starts_with("error: "), "{said:?}");
        // libFuzzer learns the secret from the comparison, and types it as a word that is none.
        assert!(!said.contains(SECRET) || String::from_utf8_lossy(data).contains(SECRET), "{said:?}");
        assert!(!said.contains(|c: char| c.is_control() && c != '\n'), "{said:?}");
    }
}

/// Any text is a set or has problems with a place each, and a set is the same when it is written and read once more.
pub fn sets_file(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let ReadSet { set, problems, unusable: spoilt } = sets::read(&text);
    for place in &problems {
        let (from, to) = (place.offset, place.offset + place.length);
        assert!(text.get(from..to).is_some(), "{from}..{to} is no place in the text");
    }
    let document = SetDocument { name: "fwd.yaml".to_owned(), text: text.clone().into_owned() };
    if problems.is_empty() {
        assert!(!spoilt);
        let written = sets::write(&set);
        let again = sets::read(&written);
        assert!(again.problems.is_empty(), "{:?} in {written}", again.problems);
        assert_eq!(without_lines(again.set), without_lines(set), "{written}");
    } else {
        let said =
            render(&document.invalid(problems, ""), ReportStyle { fancy: false, color: Styling::Plain });
        assert!(!said.contains(|c: char| c.is_control() && c != '\n'), "{said:?}");
    }
}

/// Any line is a request or has an answer that says why not, and what it asks to be started is understood or refused.
pub fn rpc_message(data: &[u8]) {
    let requests = match rpc::read(data) {
        Ok(RpcMessage::Single(one)) => vec![one],
        Ok(RpcMessage::Batch(all)) => {
            assert!((1..=rpc::MAX_BATCH).contains(&all.len()));
            all
        }
        Err(refusal) => vec![Err(refusal)],
    };
    for request in requests {
        let answer = match request {
            Ok(RpcRequest { id, params, .. }) => {
                let outcome = read_start(params).map(|spec| json!(spec.request.target.to_string()));
                rpc::answer(id, outcome)
            }
            Err(refusal) => refusal.answer(),
        };
        let Some(answer) = answer else { continue };
        assert!(answer["jsonrpc"] == "2.0" && answer.get("id").is_some(), "{answer}");
        assert!(answer.get("result").is_some() != answer.get("error").is_some(), "{answer}");
        let message = &answer["error"]["message"];
        assert!(message.is_null() || message.as_str().is_some_and(|text| !text.is_empty()), "{answer}");
    }
}

/// Whatever a server answers to an upgrade, it ends in a refusal whose words are bounded: a tunnel comes of no bytes that
/// are not one.
pub fn upgrade_answer(data: &[u8]) {
    let (choice, answer) = data.split_first().map_or((0, data), |(first, rest)| (*first, rest));
    let protocol =
        [Protocol::WebSocketTunnel, Protocol::Spdy, Protocol::LegacyWebSocket][usize::from(choice % 3)];
    let answer = Bytes::copy_from_slice(answer);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let outcome = runtime.expect("a runtime").block_on(async move {
        let client = kube::Client::new(service_fn(move |request| asked(request, answer.clone())), "default");
        let pod = PodId { namespace: "default".into(), name: "api".into(), uid: "1".into() };
        upgrade(&client, &pod, protocol, 80).await
    });
    match outcome {
        Ok(_) => panic!("an upgrade out of nowhere"),
        Err(UpgradeError::Refused(refusal)) => {
            assert!(refusal.text.len() <= MAX_ANSWER && !refusal.text.contains('\n'), "{refusal:?}");
        }
        Err(UpgradeError::Unreachable(error)) => assert!(!error.to_string().is_empty()),
    }
}

/// What a refusal's text may take: 16 KiB, and each byte that is no UTF-8 becomes three.
const MAX_ANSWER: usize = 3 * 16 * 1024;

/// A server that answers a request so, and closes.
async fn asked(
    request: http::Request<kube::client::Body>,
    answer: Bytes,
) -> Result<http::Response<hyper::body::Incoming>, hyper::Error> {
    let (ours, mut theirs) = tokio::io::duplex(64 * 1024);
    tokio::spawn(async move {
        let _ = theirs.write_all(&answer).await;
        // What it is asked is read, or a long one would wait for ever.
        let _ = theirs.shutdown().await;
        let _ = tokio::io::copy(&mut theirs, &mut tokio::io::sink()).await;
    });
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(ours)).await?;
    tokio::spawn(connection.with_upgrades());
    sender.send_request(request).await
}

/// Any word of a command has its placeholders filled in or refused; what has none stays as it is.
pub fn placeholder(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut found = Vec::new();
    let same = placeholder::expand(&text, |wanted| {
        found.push(wanted.text.to_owned());
        Ok::<_, Infallible>(wanted.text.to_owned())
    });
    let Ok(same) = same;
    assert!(found.iter().all(|one| text.contains(one.as_str())), "{text:?}: {found:?}");
    assert!(same.len() <= text.len(), "{text:?}: {same:?}");
    if !text.contains('{') {
        assert_eq!(same, text);
    }
}

/// Any two kubeconfigs, with any flags, lead to a server and to headers, the same each time; or to an error in plain words.
pub fn kubeconfig(data: &[u8]) {
    let mut script = Script(data);
    let (choices, cut) = (script.byte(), script.word());
    let first = script.take(usize::from(cut));
    let kubeconfigs = [first, script.0];
    let given = |bit: u8, word: &str| (choices & 1 << bit != 0).then(|| word.to_owned());
    let flags = Flags {
        context: given(0, "a"),
        cluster: given(1, "c"),
        user: given(2, "u"),
        server: given(3, "https://u:s3cret@x"),
        token: given(4, "t\n").map(Into::into),
        username: given(5, "u"),
        as_user: given(6, "j"),
        insecure_skip_tls_verify: given(7, "").map(|_| true),
        ..Flags::default()
    };
    let find = || ClusterConfig::find_in(&kubeconfigs, flags.clone(), ClusterEnvironment::default());
    match find() {
        Ok(found) => {
            let server = found.server();
            assert!(matches!(server.scheme_str(), Some("http" | "https")), "{server}");
            assert!(
                !server.host().unwrap_or_default().is_empty() && !server.to_string().contains("s3cret"),
                "{server}"
            );
            for (name, value) in found.headers() {
                assert!(name != "authorization" || value.is_sensitive(), "{name} is shown");
            }
            let again = find().map(|found| found.fingerprint());
            assert_eq!(again, Ok(found.fingerprint()));
        }
        Err(error) => {
            let said = render(&error, ReportStyle { fancy: false, color: Styling::Plain });
            assert!(said.starts_with("error: ") && !said.contains("s3cret"), "{said}");
            assert!(!said.contains(|c: char| c.is_control() && c != '\n'), "{said:?}");
        }
    }
}

fn without_lines(mut set: ForwardSet) -> ForwardSet {
    set.entries.iter_mut().for_each(|entry| entry.line = 0);
    set
}

#[cfg(unix)]
fn word(bytes: &[u8]) -> OsString {
    use std::os::unix::ffi::OsStrExt as _;
    std::ffi::OsStr::from_bytes(bytes).to_owned()
}

#[cfg(not(unix))]
fn word(bytes: &[u8]) -> OsString {
    String::from_utf8_lossy(bytes).into_owned().into()
}

/// The small grammars: what they take means something, and is the same when it is written and read once more.
pub fn grammar(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(port) = PortSpec::parse(&text) {
        assert!(!matches!(port.remote, RemotePort::Number(0)));
        assert!(!matches!(&port.remote, RemotePort::Name(name) if name.is_empty()));
        assert_eq!(PortSpec::parse(&port.to_string()).as_ref(), Ok(&port), "{port}");
    }
    if let Ok(address) = Address::parse(&text) {
        assert_eq!(Address::parse(&address.to_string()), Ok(address));
    }
    if let Ok(target) = Target::parse(&text) {
        assert_eq!(Target::parse(&target.to_string()).as_ref(), Ok(&target), "{target}");
    }
    let _ = (duration::parse(&text), duration::parse_timeout(&text));
    let tokens: Vec<ArgToken<'_>> = text
        .split(' ')
        .map(|word| match word.as_bytes() {
            [b'p', b'=', ..] => ArgToken::Port(&word[2..]),
            [b'l', b'=', ..] => ArgToken::Selector(&word[2..]),
            _ => ArgToken::Word(word),
        })
        .collect();
    if let Ok(requests) = grammar::requests(&tokens) {
        let ports: usize = requests.iter().map(|request| request.ports.len()).sum();
        assert!(!requests.is_empty() && requests.iter().all(|request| !request.ports.is_empty()));
        assert_eq!(requests.len() + ports, tokens.len(), "a word is lost");
    }
}
