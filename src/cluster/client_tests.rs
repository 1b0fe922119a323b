use http::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use kube::client::Body;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::cluster::http::io::Io;

async fn connected(flags: Flags) -> Cluster {
    let flags = Flags { kubeconfig: Some("/dev/null".into()), ..flags };
    Cluster::connect(&flags, &ClusterEnvironment::default()).await.unwrap()
}

/// A request's head, without the last line.
async fn head(stream: &mut BufReader<TcpStream>) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(stream.read_line(&mut head).await.unwrap(), 0);
    }
    head.to_ascii_lowercase()
}

async fn accept(listener: &TcpListener) -> BufReader<TcpStream> {
    BufReader::new(listener.accept().await.unwrap().0)
}

#[tokio::test]
async fn each_data_request_is_a_connection_of_its_own_that_can_be_taken() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let cluster = connected(Flags {
        server: Some(format!("http://{address}/prefix/")),
        as_user: Some("jane".into()),
        as_groups: vec!["a".into(), "b".into()],
        token: Some("s3cret".into()),
        ..Flags::default()
    })
    .await;
    assert_eq!(cluster.server, format!("http://{address}/prefix"));
    let server = tokio::spawn(async move {
        let mut heads = Vec::new();
        for _ in 0..2 {
            let mut stream = accept(&listener).await;
            heads.push(head(&mut stream).await);
            let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nearly";
            stream.write_all(answer.as_bytes()).await.unwrap();
            let mut ping = [0; 4];
            stream.read_exact(&mut ping).await.unwrap();
            stream.write_all(b" pong").await.unwrap();
        }
        heads
    });
    for _ in 0..2 {
        let request =
            Request::get("/api/v1/x?y=z").header(header::CONNECTION, "Upgrade").header(header::UPGRADE, "x");
        let answer = cluster.data.send(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
        let upgraded = hyper::upgrade::on(answer).await.unwrap();
        let parts = upgraded.downcast::<TokioIo<Io>>().unwrap();
        let mut io = parts.io.into_inner();
        assert!(io.socket().nodelay().unwrap());
        io.write_all(b"ping").await.unwrap();
        let mut rest = parts.read_buf.to_vec();
        io.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"early pong");
    }
    for head in server.await.unwrap() {
        assert!(head.starts_with("get /prefix/api/v1/x?y=z http/1.1\r\n"), "{head}");
        assert!(head.contains(&format!("host: {address}\r\n")), "{head}");
        assert!(head.contains("impersonate-user: jane\r\n"), "{head}");
        assert_eq!(head.matches("impersonate-group: ").count(), 2, "{head}");
        assert!(head.contains("user-agent: kubectl-fwd/"), "{head}");
        // Nobody between here and there shall read a token.
        assert!(!head.contains("s3cret"), "{head}");
    }
}

#[tokio::test]
async fn refused_connections_say_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let cluster = connected(Flags { server: Some(format!("https://{address}")), ..Flags::default() }).await;
    for client in [&cluster.api, &cluster.data] {
        let error = client.send(Request::get("/version").body(Body::empty()).unwrap()).await.err().unwrap();
        assert_eq!(crate::cluster::error::reason::reason(&error), "connection refused");
        assert_eq!(crate::cluster::access::fatal("read", &cluster, &error).code(), "fwd::cluster::refused");
    }
}

#[tokio::test]
async fn tls_towards_a_plain_server_is_told_as_that() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let mut stream = listener.accept().await.unwrap().0;
        let mut hello = [0; 16];
        stream.read_exact(&mut hello).await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        stream.read_to_end(&mut Vec::new()).await.ok();
    });
    let cluster = connected(Flags { server: Some(format!("https://{address}")), ..Flags::default() }).await;
    let error = cluster.data.send(Request::get("/").body(Body::empty()).unwrap()).await.err().unwrap();
    assert_eq!(crate::cluster::error::reason::reason(&error), "the server does not speak TLS");
    server.await.unwrap();
}

#[tokio::test]
async fn proxies_lead_to_the_server() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = listener.local_addr().unwrap();
    let flags = Flags {
        kubeconfig: Some("/dev/null".into()),
        server: Some("http://api.example.com:6443".into()),
        ..Flags::default()
    };
    let environment = ClusterEnvironment {
        http_proxy: Some(format!("http://j%40ne:pw@{proxy}")),
        ..ClusterEnvironment::default()
    };
    let cluster = Cluster::connect(&flags, &environment).await.unwrap();
    let server = tokio::spawn(async move {
        let mut stream = accept(&listener).await;
        let connect = head(&mut stream).await;
        assert!(connect.starts_with("connect api.example.com:6443 http/1.1\r\n"), "{connect}");
        assert!(connect.contains("proxy-authorization: basic akbuztpwdw==\r\n"), "{connect}");
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        assert!(head(&mut stream).await.contains("host: api.example.com:6443\r\n"));
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        drop(stream);
        let mut stream = accept(&listener).await;
        head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 407 No\r\n\r\n").await.unwrap();
    });
    let ask = || cluster.data.send(Request::get("/").body(Body::empty()).unwrap());
    assert_eq!(ask().await.unwrap().status(), StatusCode::OK);
    let error = ask().await.err().unwrap();
    assert!(crate::cluster::error::reason::reason(&error).contains("407"), "{error:?}");
    server.await.unwrap();
}

#[tokio::test]
async fn no_cluster_at_all_says_where_was_looked() {
    let environment =
        ClusterEnvironment { home: Some("/no/such/home".into()), ..ClusterEnvironment::default() };
    let error = Cluster::connect(&Flags::default(), &environment).await.err().unwrap();
    assert_eq!(error.code(), "fwd::kubeconfig::none");
    let why = std::error::Error::source(&error).unwrap().to_string();
    assert!(why.contains("/no/such/home/.kube/config"), "{why}");
}
