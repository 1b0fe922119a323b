//! Long transfers each way, and both ways at once.

use std::fmt::Write as _;

use aws_lc_rs::digest;
use sandbox::support::connect;
use tokio::io::{AsyncWriteExt, BufReader};

use super::client::Client;
use super::http::{self, check, put};
use super::pattern::{CHUNK, pattern};
use super::tally::Flaw;
use crate::excuses::Length;

/// The longest.
const LONGEST: u64 = 8 << 20;

/// The longest pause between two, in milliseconds.
const PAUSE: u64 = 300;

/// From the pod.
pub(super) async fn download(mut client: Client) {
    while client.goes_on() {
        let (id, length) = (client.tally.id(), client.rng.u64(1..LONGEST));
        let wait = client.wait(Some(id));
        let work = async {
            let mut stream = BufReader::with_capacity(CHUNK, connect(client.port).await?);
            let head = format!("GET /bytes?n={length}&id={id} HTTP/1.1\r\nHost: chaos\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            expect(&http::head(&mut stream, id).await?, length)?;
            check(&mut stream, 0, 0, length, |bytes| client.tally.bytes(bytes)).await
        };
        transfer(&client, &wait, work).await;
        client.pause(PAUSE).await;
    }
}

/// To the pod, which answers with the sum.
pub(super) async fn upload(mut client: Client) {
    while client.goes_on() {
        let (id, length) = (client.tally.id(), client.rng.u64(1..LONGEST));
        let wait = client.wait(Some(id));
        let work = async {
            let mut stream = BufReader::new(connect(client.port).await?);
            let head =
                format!("POST /sink?id={id} HTTP/1.1\r\nHost: chaos\r\nContent-Length: {length}\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            put(&mut stream, id, length).await?;
            let head = http::head(&mut stream, id).await?;
            let (said, sum) = (http::text(&mut stream, head.length).await?, sum(id, length));
            if said != sum {
                return Err(Flaw::Wrong(format!("an upload arrived as {said}, and was {sum}")));
            }
            client.tally.bytes(length as usize);
            Ok(())
        };
        transfer(&client, &wait, work).await;
        client.pause(PAUSE).await;
    }
}

/// There and back at once.
pub(super) async fn echo(mut client: Client) {
    while client.goes_on() {
        let (id, length) = (client.tally.id(), client.rng.u64(1..LONGEST / 2));
        let wait = client.wait(Some(id));
        let work = async {
            let mut stream = connect(client.port).await?;
            let (from, mut to) = stream.split();
            let mut from = BufReader::new(from);
            let send = async {
                let head =
                    format!("POST /echo?id={id} HTTP/1.1\r\nHost: chaos\r\nContent-Length: {length}\r\n\r\n");
                to.write_all(head.as_bytes()).await?;
                put(&mut to, id, length).await
            };
            let receive = async {
                expect(&http::head(&mut from, id).await?, length)?;
                check(&mut from, id, 0, length, |bytes| client.tally.bytes(2 * bytes)).await
            };
            tokio::try_join!(send, receive).map(drop)
        };
        transfer(&client, &wait, work).await;
        client.pause(PAUSE).await;
    }
}

async fn transfer(client: &Client, wait: &super::client::Wait, work: impl Future<Output = Result<(), Flaw>>) {
    if client.try_to(wait, Length::Long, work).await {
        client.tally.transfer();
    }
}

fn expect(head: &http::Head, length: u64) -> Result<(), Flaw> {
    if head.length == length {
        Ok(())
    } else {
        Err(Flaw::Wrong(format!("{} bytes for {length}", head.length)))
    }
}

/// What the application says of an upload.
fn sum(salt: u64, length: u64) -> String {
    let (mut sum, mut at) = (digest::Context::new(&digest::SHA256), 0);
    while at < length {
        let piece = CHUNK.min((length - at) as usize);
        sum.update(pattern(salt, at, piece));
        at += piece as u64;
    }
    let mut said = format!("{length} ");
    for byte in sum.finish().as_ref() {
        let _ = write!(said, "{byte:02x}");
    }
    said
}
