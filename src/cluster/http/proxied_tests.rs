use tokio::net::{TcpListener, TcpStream};

use super::*;

/// A connection, and the proxy's end of it.
async fn pair() -> (Io, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (here, there) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (Io::Tcp(here.unwrap()), there.unwrap().0)
}

/// Asks a proxy that reads the request, says this, and then answers what it hears with `pong`.
async fn ask(answer: &[u8], user: bool) -> Result<Io, BoxError> {
    let (io, mut proxy) = pair().await;
    let answer = answer.to_vec();
    tokio::spawn(async move {
        let mut heard = Vec::new();
        while !heard.ends_with(b"\r\n\r\n") {
            assert_ne!(proxy.read_buf(&mut heard).await.unwrap(), 0, "no request");
        }
        let heard = String::from_utf8(heard).unwrap().to_ascii_lowercase();
        assert!(heard.starts_with("connect api.example.com:6443 http/1.1\r\n"), "{heard}");
        assert!(heard.contains("host: api.example.com:6443\r\n"), "{heard}");
        assert_eq!(heard.contains("proxy-authorization: basic x\r\n"), user, "{heard}");
        // It may be gone by then.
        let _ = proxy.write_all(&answer).await;
        let whole = answer.starts_with(b"HTTP/1.1 200") && answer.ends_with(b"\r\n\r\n");
        if whole && proxy.read_u8().await.is_ok() {
            let _ = proxy.write_all(b"pong").await;
        }
    });
    let user = user.then(|| HeaderValue::from_static("Basic x"));
    connect(io, &"api.example.com:6443".parse().unwrap(), user).await
}

fn with_headers(kib: usize) -> Vec<u8> {
    let one = format!("X-Policy: {}\r\n", "y".repeat(1012));
    format!("HTTP/1.1 200 OK\r\n{}\r\n", one.repeat(kib)).into_bytes()
}

#[tokio::test]
async fn proxies_that_lead_there() {
    for answer in [
        &b"HTTP/1.1 200 Connection established\r\n\r\n"[..],
        b"HTTP/1.1 200\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        &with_headers(12),
        &with_headers(60),
    ] {
        let mut io = ask(answer, true).await.unwrap();
        if answer.starts_with(b"HTTP/1.1 200") {
            io.write_all(b"p").await.unwrap();
            let mut pong = [0; 4];
            io.read_exact(&mut pong).await.unwrap();
            assert_eq!(&pong, b"pong");
        }
    }
    assert!(ask(b"HTTP/1.0 200 OK\r\n\r\n", false).await.is_ok());
}

#[tokio::test]
async fn proxies_that_do_not() {
    for (answer, user, words) in [
        (&b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n"[..], false, "requires a user and a password (407)"),
        (b"HTTP/1.1 407 No\r\n\r\n", true, "does not accept this user and password (407)"),
        (
            b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\n\r\n<h1>no</h1>",
            false,
            "(502 Bad Gateway)",
        ),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", false, "refuses to connect there (403 Forbidden)"),
        (b"HTTP/1.1 201 Created\r\n\r\n", false, "(201 Created)"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://login\r\n\r\n", false, "(302 Found)"),
        (b"SSH-2.0-x\r\n\r\n", false, "answer is not HTTP"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", false, "answer is not HTTP"),
        (b"", false, "closed the connection"),
        (b"HTTP/1.1 200 OK\r\nX: ", false, "closed the connection"),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", false, "before the connection was used"),
        (&with_headers(200), false, "more than 64 KiB"),
    ] {
        let error =
            ask(answer, user).await.err().unwrap_or_else(|| panic!("it led there, and not to: {words}"));
        assert!(error.is::<ProxyError>() && error.to_string().contains(words), "{words}: {error}");
    }
}

/// Asks a SOCKS proxy that says these one after the other, each after it has heard something.
async fn ask_socks(
    host: &str,
    user: Option<(&str, &str)>,
    answers: &[&[u8]],
) -> (Result<(), BoxError>, Vec<Vec<u8>>) {
    let (mut io, mut proxy) = pair().await;
    let answers: Vec<Vec<u8>> = answers.iter().map(|answer| answer.to_vec()).collect();
    let proxy = tokio::spawn(async move {
        let mut heard = Vec::new();
        for answer in answers {
            let mut request = vec![0; 1024];
            let length = proxy.read(&mut request).await.unwrap();
            request.truncate(length);
            heard.push(request);
            proxy.write_all(&answer).await.unwrap();
        }
        heard
    });
    let user = user.map(|(name, password)| (name.to_owned(), password.to_owned()));
    let result = socks(&mut io, host, 6443, user).await;
    drop(io);
    (result, proxy.await.unwrap())
}

#[tokio::test]
async fn socks_proxies_that_lead_there() {
    let to = |kind: &[u8]| [&[5, 1, 0][..], kind, &[0x19, 0x2b]].concat();
    let good: &[u8] = &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for (host, kind) in [
        ("api", &[3, 3, b'a', b'p', b'i'][..]),
        ("10.0.0.1", &[1, 10, 0, 0, 1]),
        ("[::1]", &[4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
    ] {
        let (result, heard) = ask_socks(host, None, &[&[5, 0], good]).await;
        assert!(result.is_ok(), "{host}: {result:?}");
        assert_eq!(heard, [vec![5, 1, 0], to(kind)], "{host}");
    }
    let named: &[u8] = &[5, 0, 0, 3, 2, b'h', b'i', 0, 0];
    let (result, heard) = ask_socks("10.0.0.1", Some(("j", "pw")), &[&[5, 2], &[1, 0], named]).await;
    assert!(result.is_ok(), "{result:?}");
    assert_eq!(heard[..2], [vec![5, 2, 0, 2], vec![1, 1, b'j', 2, b'p', b'w']]);
    // It does not ask, though it could.
    let v6: &[u8] = &[&[5, 0, 0, 4][..], &[0; 18]].concat();
    assert!(ask_socks("api", Some(("j", "pw")), &[&[5, 0], v6]).await.0.is_ok());
}

#[tokio::test]
async fn socks_proxies_that_do_not() {
    let long = "x".repeat(256);
    for (host, user, answers, words) in [
        ("api", None, &[&[5_u8, 0xff][..]][..], "requires a user and a password"),
        ("api", Some(("j", "pw")), &[&[5, 0xff]], "does not accept this user"),
        ("api", Some(("j", "pw")), &[&[5, 2], &[1, 1]], "does not accept this user"),
        ("api", None, &[&[5, 2]], "requires a user and a password"),
        ("api", Some((&*long, "pw")), &[&[5, 2]], "user is too long"),
        (&long, None, &[&[5, 0]], "host's name is too long"),
        ("api", None, &[&[5, 0], &[5, 2, 0, 1, 0, 0, 0, 0, 0, 0]], "not allowed by its rules"),
        ("api", None, &[&[5, 0], &[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]], "connection refused"),
        ("api", None, &[&[5, 0], &[5, 0x5b, 0, 1, 0, 0, 0, 0, 0, 0]], "SOCKS reply 91"),
        ("api", None, &[&[5, 0], &[5, 0, 0, 9]], "answer is not SOCKS5"),
        ("api", None, &[b"HTTP/1.1 400 Bad Request\r\n\r\n"], "answer is not SOCKS5"),
        ("api", None, &[b""], "closed the connection"),
        ("api", None, &[&[5, 0], &[5, 0, 0, 1, 0]], "closed the connection"),
    ] {
        let (result, _) = ask_socks(host, user, answers).await;
        let error = result.err().unwrap();
        assert!(error.is::<ProxyError>() && error.to_string().contains(words), "{words}: {error}");
    }
}
