use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tower::{ServiceExt as _, service_fn};

use super::*;

/// What a server does with a connection.
#[derive(Debug, Clone, Copy)]
enum Deed {
    /// Closes it unasked.
    Close,
    /// Says that the client was too slow, unasked, and closes.
    GiveUp,
    /// Reads the request and closes.
    HearAndClose,
    /// Reads the request, answers this, and closes.
    Answer(u16),
}

impl Deed {
    async fn on(self, mut socket: TcpStream) {
        if matches!(self, Self::HearAndClose | Self::Answer(_)) {
            let mut heard = Vec::new();
            while !heard.ends_with(b"\r\n\r\n") {
                assert_ne!(socket.read_buf(&mut heard).await.unwrap(), 0, "no request");
            }
        }
        let status = match self {
            Self::Close | Self::HearAndClose => return,
            Self::GiveUp => 408,
            Self::Answer(status) => status,
        };
        let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        socket.write_all(answer.as_bytes()).await.unwrap();
    }
}

/// Sends a request whose connection was dialled ahead to a server that does these with its connections, in order.
/// Returns the status, and how many of them were not made.
async fn after_dialling_ahead(deeds: &[Deed]) -> (Option<u16>, usize) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let tls = tls.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
    let transport = Transport::new(Connector::new(&server, None, None, tls).unwrap(), None);

    transport.preconnect();
    let ahead = transport.take_preconnected().await.unwrap();
    let mut deeds = deeds.iter();
    if let [first @ (Deed::Close | Deed::GiveUp), ..] = deeds.as_slice() {
        deeds.next();
        first.on(listener.accept().await.unwrap().0).await;
        // It has arrived before the connection is used.
        ahead.socket().readable().await.unwrap();
    }
    transport.set_preconnect(Some(tokio::spawn(async { Ok(ahead) })));

    let mut request = Request::get(server).body(Body::empty()).unwrap();
    request.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    let serve = async {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            deeds.next().expect("one connection too many").on(socket).await;
        }
    };
    let answer = tokio::select! {
        answer = OneShot(transport).oneshot(request) => answer,
        () = serve => panic!("it serves until the answer"),
    };
    (answer.ok().map(|answer| answer.status().as_u16()), deeds.len())
}

#[tokio::test]
async fn a_connection_dialled_ahead_that_is_of_no_use_is_replaced_once() {
    use Deed::{Answer, Close, GiveUp, HearAndClose};
    for (deeds, status) in [
        (&[Answer(200)][..], Some(200)),
        (&[Answer(403)], Some(403)),
        (&[Close, Answer(200)], Some(200)),
        (&[GiveUp, Answer(200)], Some(200)),
        (&[Answer(408), Answer(200)], Some(200)),
        (&[HearAndClose, Answer(200)], Some(200)),
        (&[HearAndClose, HearAndClose], None),
        (&[Close, HearAndClose], None),
        (&[Close, Answer(408)], Some(408)),
    ] {
        assert_eq!(after_dialling_ahead(deeds).await, (status, 0), "{deeds:?}");
    }
}

#[tokio::test]
async fn an_upgrade_that_is_not_answered_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server: Uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let transport = Transport::new(Connector::new(&server, None, None, tls).unwrap(), None);
    let ahead = transport.dialer.dial().await.unwrap();
    transport.set_preconnect(Some(tokio::spawn(async { Ok(ahead) })));
    let _silent = listener.accept().await.unwrap();
    tokio::time::pause();
    let request = Request::get(server).body(Body::empty()).unwrap();
    let error = OneShot(transport).oneshot(request).await.err().unwrap();
    assert!(error.is::<ResponseTimeout>(), "{error}");
}

#[tokio::test(start_paused = true)]
async fn answers_that_do_not_begin_are_given_up() {
    let never = service_fn(|_: Request<Body>| std::future::pending::<Result<(), BoxError>>());
    for (path, wanted, limit) in [
        ("/x", None, ANSWER_TIMEOUT),
        ("/x", Some(Duration::from_secs(3)), Duration::from_secs(3)),
        // A watch has its own time, whatever the user wants of requests.
        ("/x?a=b&watch=true", Some(Duration::from_secs(3)), WATCH_TIMEOUT),
    ] {
        let start = tokio::time::Instant::now();
        let request = Request::get(path).body(Body::empty()).unwrap();
        let error = Deadline { inner: never, wanted }.oneshot(request).await.err().unwrap();
        assert!(error.is::<ResponseTimeout>());
        assert_eq!(start.elapsed().as_secs(), limit.as_secs(), "{path}");
    }
}

#[test]
fn the_request_line_holds_the_path_alone() {
    for (uri, host, path) in [
        ("https://a:6443/p/x?y=z", "a:6443", "/p/x?y=z"),
        ("https://a", "a", "/"),
        ("https://[::1]:1/x", "[::1]:1", "/x"),
    ] {
        let mut request = Request::get(uri).body(Body::empty()).unwrap();
        address(&mut request).unwrap();
        assert_eq!(request.uri(), path);
        assert_eq!(request.headers()[header::HOST], host);
    }
}
