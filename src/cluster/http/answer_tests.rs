use std::{collections::VecDeque, convert::Infallible, io::Write as _};

use futures_util::stream;
use http_body_util::{BodyExt as _, StreamBody};
use kube::Client;
use tower::{Layer as _, service_fn};
use tower_http::decompression::DecompressionLayer;

use super::*;

/// What a body does, step by step.
#[derive(Debug, Clone)]
enum Step {
    Send(Bytes),
    Wait(Duration),
    /// Sends this for ever.
    Flood(Bytes),
    /// Sends a byte, for ever, as seldom as this.
    Drip(Duration),
}

fn send(text: impl Into<Bytes>) -> Step {
    Step::Send(text.into())
}

fn body(steps: Vec<Step>) -> UnsyncBoxBody<Bytes, Infallible> {
    let frames = stream::unfold(VecDeque::from(steps), |mut steps| async move {
        loop {
            match steps.pop_front()? {
                Step::Send(bytes) => return Some((Ok(Frame::data(bytes)), steps)),
                Step::Wait(time) => sleep(time).await,
                Step::Flood(bytes) => {
                    steps.push_front(Step::Flood(bytes.clone()));
                    return Some((Ok(Frame::data(bytes)), steps));
                }
                Step::Drip(pause) => {
                    sleep(pause).await;
                    steps.push_front(Step::Drip(pause));
                    return Some((Ok(Frame::data(Bytes::from_static(b" "))), steps));
                }
            }
        }
    });
    StreamBody::new(frames).boxed_unsync()
}

/// A client whose every request is answered so, after the head took `head`.
fn client(
    head: Duration,
    wanted: Option<Duration>,
    answer: http::response::Builder,
    steps: Vec<Step>,
) -> Client {
    let (parts, ()) = answer.body(()).unwrap().into_parts();
    let inner = service_fn(move |_: Request<Body>| {
        let answer = Response::from_parts(parts.clone(), body(steps.clone()));
        async move {
            sleep(head).await;
            Ok::<_, BoxError>(answer)
        }
    });
    let inner = DecompressionLayer::new().gzip(true).layer(inner);
    Client::new(ResponseBounds { inner, wanted }, "default")
}

fn ok() -> http::response::Builder {
    Response::builder().header(header::CONTENT_TYPE, "application/json")
}

async fn get(client: &Client, path: &str) -> Result<usize, kube::Error> {
    client.request_text(Request::get(path).body(Vec::new()).unwrap()).await.map(|text| text.len())
}

/// The error's innermost words, and after how long.
async fn failure(client: &Client, path: &str) -> (String, Duration) {
    let start = Instant::now();
    let error = get(client, path).await.unwrap_err();
    (crate::cluster::error::reason::reason(&error), start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn an_answer_has_its_time() {
    const NEVER: Duration = Duration::from_secs(1_000_000);
    let second = Duration::from_secs(1);
    for (head, steps, wanted, words, time) in [
        (NEVER, vec![], None, "no answer within 120 s", WHOLE),
        (second, vec![send("{"), Step::Wait(NEVER)], None, "stopped half-way", second + PAUSE),
        (second, vec![Step::Drip(second)], None, "not complete within 120 s", WHOLE),
        // What the user wants is for all of it.
        (second, vec![Step::Drip(second)], Some(5 * second), "not complete within 5 s", 5 * second),
        (second, vec![send("{"), Step::Wait(NEVER)], Some(5 * second), "within 5 s", 5 * second),
    ] {
        let (reason, took) = failure(&client(head, wanted, ok(), steps), "/x").await;
        assert!(reason.contains(words), "{reason} / {words}");
        assert!(took.abs_diff(time) < second / 2, "{reason}: {took:?} / {time:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_lasts() {
    let minute = Duration::from_secs(60);
    let steps = vec![send("{}\n"), Step::Wait(10 * minute), send("{}\n")];
    let client = client(Duration::ZERO, Some(Duration::from_secs(1)), ok(), steps);
    assert_eq!(get(&client, "/x?watch=true").await.unwrap(), 6);
}

#[tokio::test]
async fn an_answer_has_its_length() {
    let chunk = Bytes::from(vec![b'x'; 1 << 20]);
    let flood = || vec![Step::Flood(chunk.clone())];
    for (path, words) in [
        ("/x", "longer than 8 MiB, the most that is read of one object"),
        ("/x?limit=500", "longer than 32 MiB, the most that is read of one page of a list"),
    ] {
        let (reason, _) = failure(&client(Duration::ZERO, None, ok(), flood()), path).await;
        assert!(reason.contains(words), "{reason}");
    }
    // Empty objects are short, and large once they are parsed.
    let many = || vec![Step::Flood(Bytes::from("{},".repeat(1000)))];
    let (reason, _) = failure(&client(Duration::ZERO, None, ok(), many()), "/x").await;
    assert!(
        reason.contains("more than 20000 JSON objects, the most that are read of one object"),
        "{reason}"
    );
    // What fits, fits.
    let whole = vec![Step::Send(Bytes::from(vec![b'x'; OBJECT.bytes]))];
    assert_eq!(get(&client(Duration::ZERO, None, ok(), whole), "/x").await.unwrap(), OBJECT.bytes);
}

/// What counts is what comes out of the decompression.
#[test]
fn a_bomb_is_not_unpacked() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..64 {
        packed.write_all(&vec![b'a'; 1 << 20]).unwrap();
    }
    let packed = packed.finish().unwrap();
    assert!(packed.len() < 1 << 17);
    let packed = Bytes::from(packed);
    let mut reason = String::new();
    let counted = allocation_counter::measure(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        (reason, _) = runtime.block_on(async {
            let answer = ok().header(header::CONTENT_ENCODING, "gzip");
            failure(&client(Duration::ZERO, None, answer, vec![Step::Send(packed.clone())]), "/x").await
        });
    });
    assert!(reason.contains("longer than 8 MiB"), "{reason}");
    assert!(counted.bytes_max < 2 * OBJECT.bytes as u64, "{}", counted.bytes_max);
}

/// A flood leaves others their turn, though its every piece is there at once.
#[tokio::test]
async fn a_flood_leaves_others_their_turn() {
    let steps = vec![Step::Flood(Bytes::from(vec![b'x'; TURN / 4]))];
    let client = client(Duration::ZERO, None, ok(), steps);
    let mut turns = 0;
    let others = async {
        loop {
            turns += 1;
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        (reason, _) = failure(&client, "/x") => assert!(reason.contains("8 MiB")),
        () = others => unreachable!("it has no end"),
    }
    assert!(turns >= OBJECT.bytes / TURN / 2, "{turns}");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_keeps_its_code_whatever_its_body_is() {
    let said = r#"{"kind":"Status","message":"no","reason":"Forbidden","code":403}"#;
    let long = Bytes::from(vec![b'm'; REFUSAL]);
    for (code, steps, words) in [
        (403, vec![send(said)], "403: no"),
        (429, vec![], "429: Too Many Requests"),
        (429, vec![send("{}")], "429: {}"),
        (502, vec![send("<html>")], "502: the answer is a web page"),
        (503, vec![send(" no healthy upstream\n")], "503: no healthy upstream"),
        (403, vec![send(&said[..9]), Step::Wait(WHOLE)], "403: its explanation did not arrive"),
        (500, vec![Step::Send(long.clone()), send("m")], "500: its explanation is longer than 1 MiB"),
        (500, vec![Step::Send(long)], "bytes more)"),
    ] {
        let answer = Response::builder().status(code);
        let (reason, took) = failure(&client(Duration::ZERO, None, answer, steps), "/x").await;
        assert!(reason.contains(words), "{reason} / {words}");
        assert!(reason.len() < 1200 && took <= REFUSAL_TIME, "{reason} {took:?}");
    }
    let answer = Response::builder().status(429).header(header::RETRY_AFTER, "7");
    match get(&client(Duration::ZERO, None, answer, vec![]), "/x").await {
        Err(kube::Error::Api(status)) => assert_eq!(crate::cluster::error::reason::retry_after(&status), 7),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_no_api_server_answers() {
    let plain = |kind| Response::builder().header(header::CONTENT_TYPE, kind);
    let login = "https://login.example/start?ticket=s3cret";
    for (answer, text, words) in [
        (plain("text/html; charset=utf-8"), "<html>log in", "a web page, not an object of Kubernetes"),
        (plain("text/plain"), "OK", "text/plain, not an object of Kubernetes"),
        (Response::builder().status(204), "", "204: the answer holds no object"),
        (
            Response::builder().status(302).header(header::LOCATION, login),
            "",
            "302: it leads to https://login.example/start",
        ),
        (Response::builder(), "", "the answer is empty, or cut short"),
        (ok(), "<html>", "the answer is not JSON"),
        (ok(), r#"{"x": "s3cret"}"#, "the answer is not the object that was asked for"),
    ] {
        let client = client(Duration::ZERO, None, answer, vec![send(text)]);
        let request = Request::get("/x").body(Vec::new()).unwrap();
        let error = client.request::<Vec<String>>(request).await.unwrap_err();
        let reason = crate::cluster::error::reason::reason(&error);
        assert!(reason.contains(words) && !reason.contains("s3cret"), "{reason} / {words}");
    }
}
