//! gRPC, which is HTTP/2 without TLS, with answers that end in trailers.

use sandbox::support::Test;

use super::behind::Behind;
use super::running::Dialogue;
use super::servers::grpc::Grpc;

const PORT: u16 = 50_051;

/// Calls of the four kinds on one channel, which finds its way again when its pod is gone.
#[tokio::test(flavor = "multi_thread")]
async fn calls() -> Test {
    let Some(grpc) = Grpc::start().await? else { return Ok(()) };
    let behind = Behind::start(&[(PORT, grpc.server.address)]).await?;
    let (mut forward, port) = behind.forward(PORT).await?;
    let mut client = Dialogue::begin(&mut grpc.client(port))?;
    // The second is more than what is in flight on a stream and on a connection.
    for (count, size) in [(50, 100), (20, 300_000)] {
        client.say(&format!("{count} {size}")).await?;
        assert_eq!(client.line().await?, (4 * count).to_string());
    }
    behind.world.sandbox.force_delete("pod", "default", &behind.serving(PORT)?)?;
    forward.stderr("new connections go to ").await?;
    client.say("50 100").await?;
    assert_eq!(client.line().await?, "200");
    Ok(())
}
