//! Connections that stay: a line at a time, each of which comes back.

use sandbox::support::connect;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use super::client::Client;
use super::tally::Flaw;
use crate::excuses::Length;

/// The longest pause between two lines, in milliseconds.
const PAUSE: u64 = 50;

/// Lines on one connection.
const LINES: u64 = 500;

/// Talks for as long as it may, then with the next connection.
pub(super) async fn talk(mut client: Client) {
    while client.goes_on() {
        let opened = client.wait(None);
        let Ok(stream) = connect(client.port).await else {
            client.pause(PAUSE).await;
            continue;
        };
        let (mut stream, number) = (BufReader::new(stream), client.tally.id());
        for line in 0..LINES {
            let said = format!("{} {number} {line}\n", client.name);
            let work = async {
                stream.write_all(said.as_bytes()).await?;
                let mut heard = String::new();
                match stream.read_line(&mut heard).await? {
                    0 => Err(Flaw::Broke(format!("it ended after {line} lines"))),
                    _ if heard == said => Ok(()),
                    _ if !heard.ends_with('\n') && said.starts_with(&heard) => {
                        Err(Flaw::Broke(format!("it ended in the middle of line {line}")))
                    }
                    _ => Err(Flaw::Wrong(format!("{heard:?} for {said:?}"))),
                }
            };
            if !client.goes_on() || !client.try_to(&opened, Length::Long, work).await {
                break;
            }
            client.tally.line();
            client.pause(PAUSE).await;
        }
    }
}
