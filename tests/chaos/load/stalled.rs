//! Clients that stop reading, and applications that do: they are to hold up nobody, and go away in the end.

use std::time::Duration;

use sandbox::support::connect;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::time::{sleep, timeout};

use super::client::Client;
use super::http::{self, check, put};
use crate::excuses::Length;

/// More than is ever read.
const ENDLESS: u64 = 1 << 40;

/// What a client takes before it stops, and what it takes later to see that all of it is still right.
const STOP_AT: u64 = 1 << 20;
const LATER: u64 = STOP_AT + (256 << 10);

/// What is sent to an application that does not read: more than all buffers on the way hold.
const UNREAD: u64 = 64 << 20;

/// For how many milliseconds they are stalled.
const STALL: std::ops::Range<u64> = 2_000..8_000;

/// The longest pause between two, in milliseconds.
const PAUSE: u64 = 100;

fn draw(client: &mut Client) -> Duration {
    Duration::from_millis(client.rng.u64(STALL))
}

/// A client that stops for a while, and goes without having read all.
pub(super) async fn reader(mut client: Client) {
    while client.goes_on() {
        let (id, stall) = (client.tally.id(), draw(&mut client));
        let wait = client.wait(Some(id));
        let work = async {
            let mut stream = BufReader::new(connect(client.port).await?);
            let head = format!("GET /bytes?n={ENDLESS}&id={id} HTTP/1.1\r\nHost: chaos\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            http::head(&mut stream, id).await?;
            check(&mut stream, 0, 0, STOP_AT, |bytes| client.tally.bytes(bytes)).await?;
            client.tally.stalled();
            client.stop.run_until_cancelled(sleep(stall)).await;
            check(&mut stream, 0, STOP_AT, LATER, |bytes| client.tally.bytes(bytes)).await
        };
        client.try_to(&wait, Length::Long, work).await;
        client.pause(PAUSE).await;
    }
}

/// A client of an application that takes nothing, which gives up after a while: with a reset, or with an end behind all that
/// is still to be read, which nobody hears of before the pod goes.
pub(super) async fn application(mut client: Client) {
    while client.goes_on() {
        let (stall, resets) = (draw(&mut client), client.rng.bool());
        let wait = client.wait(None);
        let work = async {
            let mut stream = connect(client.port).await?;
            client.tally.stalled();
            if resets {
                stream.set_zero_linger()?;
            }
            let sending = timeout(stall, put(&mut stream, 0, UNREAD));
            match client.stop.run_until_cancelled(sending).await {
                Some(Ok(sent)) => sent,
                // Stalled to the end.
                Some(Err(_)) | None => Ok(()),
            }
        };
        client.try_to(&wait, Length::Long, work).await;
        client.pause(PAUSE).await;
    }
}
