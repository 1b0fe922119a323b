//! Short requests, one a connection or many.

use sandbox::support::connect;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::client::Client;
use super::http::{self, check, put};
use super::tally::Flaw;
use crate::excuses::Length;

/// The longest pause between two, in milliseconds.
const PAUSE: u64 = 30;

/// The longest body of a short request.
const BODY: u64 = 20_000;

/// Requests on one connection.
const KEPT_FOR: usize = 30;

/// One that the application answers with its name, or one that it sends back.
#[derive(Debug, Clone, Copy)]
enum Request {
    Get,
    Post { length: u64 },
}

impl Request {
    fn draw(client: &mut Client) -> Self {
        if client.rng.bool() { Self::Get } else { Self::Post { length: client.rng.u64(1..BODY) } }
    }

    async fn ask(self, client: &Client, stream: &mut BufReader<TcpStream>, id: u64) -> Result<(), Flaw> {
        match self {
            Self::Get => {
                let head = format!("GET /?id={id} HTTP/1.1\r\nHost: chaos\r\n\r\n");
                stream.write_all(head.as_bytes()).await?;
                let head = http::head(stream, id).await?;
                let pod = http::text(stream, head.length).await?;
                client.tally.served(client.app, &pod);
            }
            Self::Post { length } => {
                let head =
                    format!("POST /echo?id={id} HTTP/1.1\r\nHost: chaos\r\nContent-Length: {length}\r\n\r\n");
                stream.write_all(head.as_bytes()).await?;
                put(stream, id, length).await?;
                let head = http::head(stream, id).await?;
                if head.length != length {
                    return Err(Flaw::Wrong(format!("{} bytes for {length}", head.length)));
                }
                check(stream, id, 0, length, |bytes| client.tally.bytes(bytes)).await?;
            }
        }
        Ok(())
    }
}

/// Each on a connection of its own.
pub(super) async fn single(client: Client) {
    let mut client = client.counted();
    while client.goes_on() {
        let (id, request) = (client.tally.id(), Request::draw(&mut client));
        let wait = client.wait(Some(id));
        let work = async {
            let mut stream = BufReader::new(connect(client.port).await?);
            request.ask(&client, &mut stream, id).await
        };
        client.request(&wait, Length::Short, work).await;
        client.pause(PAUSE).await;
    }
}

/// Many on one connection, which an application may close between two of them when its pod goes.
pub(super) async fn kept_alive(client: Client) {
    let mut client = client.counted();
    while client.goes_on() {
        let opened = client.wait(None);
        let Ok(stream) = connect(client.port).await else {
            client.pause(PAUSE).await;
            continue;
        };
        let mut stream = BufReader::new(stream);
        for _ in 0..KEPT_FOR {
            let (id, request) = (client.tally.id(), Request::draw(&mut client));
            let wait = client.wait(Some(id)).since(&opened);
            if !client.goes_on()
                || !client.request(&wait, Length::Long, request.ask(&client, &mut stream, id)).await
            {
                break;
            }
            client.pause(PAUSE).await;
        }
    }
}
