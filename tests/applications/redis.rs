//! Redis.

use sandbox::support::{Failure, Test, connect, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::behind::Behind;
use super::running::{Dialogue, number, run, run_with};
use super::servers::redis::Redis;

const PORT: u16 = 6379;

/// Commands in one go.
const MASS: usize = 20_000;

/// Messages to a subscriber.
const MESSAGES: usize = 1000;

/// How often the server did this, as it counts itself.
async fn calls(redis: &Redis, port: u16, command: &str) -> Result<u64, Failure> {
    number(&run(&mut redis.cli(port, "info commandstats")).await?, &format!("cmdstat_{command}:calls="))
}

/// One command at a time, sixteen, and very many; on connections that stay, and on a new one each.
#[tokio::test(flavor = "multi_thread")]
async fn commands() -> Test {
    let Some(redis) = Redis::start().await? else { return Ok(()) };
    let behind = Behind::start(&[(PORT, redis.server.address)]).await?;
    let (_forward, port) = behind.forward(PORT).await?;
    run(&mut redis.benchmark(port, "-t set -c 20 -n 4000 -q")).await?;
    assert_eq!(calls(&redis, port, "set").await?, 4000);
    run(&mut redis.benchmark(port, "-t get -c 20 -n 32000 -P 16 -q")).await?;
    assert_eq!(calls(&redis, port, "get").await?, 32_000);
    // -k 0: no connection is kept.
    run(&mut redis.benchmark(port, "-t incr -c 8 -n 400 -k 0 -q")).await?;
    assert_eq!(calls(&redis, port, "incr").await?, 400);
    let commands: Vec<_> = (0..MASS).map(|number| format!("SET key:{number} {number}\r\n")).collect();
    let report = run_with(&mut redis.cli(port, "--pipe"), commands.concat().into_bytes()).await?;
    let report = String::from_utf8(report)?;
    assert!(report.contains(&format!("errors: 0, replies: {MASS}")), "{report}");
    assert_eq!(run(&mut redis.cli(port, &format!("get key:{}", MASS - 1))).await?, format!("{}\n", MASS - 1));
    Ok(())
}

/// A subscriber gets all messages, in order. When its pod goes its connection ends, and new ones come to another.
#[tokio::test(flavor = "multi_thread")]
async fn messages() -> Test {
    let Some(redis) = Redis::start().await? else { return Ok(()) };
    let behind = Behind::start(&[(PORT, redis.server.address)]).await?;
    let (mut forward, port) = behind.forward(PORT).await?;
    let mut subscriber = Dialogue::begin(&mut redis.cli(port, "subscribe news"))?;
    subscriber.until("subscribe").await?;
    let commands: Vec<_> = (0..MESSAGES).map(|number| format!("PUBLISH news message-{number}\r\n")).collect();
    run_with(&mut redis.cli(port, "--pipe"), commands.concat().into_bytes()).await?;
    for number in 0..MESSAGES {
        let line = subscriber.until("message-").await?;
        assert_eq!(line, format!("message-{number}"));
    }
    let mut idle = connect(port).await?;
    idle.write_all(b"PING\r\n").await?;
    let mut pong = [0; 7];
    within("an answer", idle.read_exact(&mut pong)).await??;
    assert_eq!(&pong, b"+PONG\r\n");
    let first = behind.serving(PORT)?;
    behind.world.sandbox.force_delete("pod", "default", &first)?;
    let ends = within("the end of a connection", idle.read(&mut pong)).await?;
    assert!(!matches!(ends, Ok(read) if read > 0), "{ends:?}");
    forward.stderr("new connections go to ").await?;
    run(&mut redis.benchmark(port, "-t set -c 20 -n 1000 -q")).await?;
    assert_eq!(calls(&redis, port, "set").await?, 1000);
    Ok(())
}
