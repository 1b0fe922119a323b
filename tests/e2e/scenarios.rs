//! What is done in a workspace, and what has to come of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sandbox::support::load::Load;
use sandbox::support::{Failure, Test, answer, ask, connect, expect_refusal, post, rest, send, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::workspace::Workspace;

/// More than any queue between an application and a client that does not read.
const MORE_THAN_QUEUED: usize = 64 << 20;

/// Requests beside one that is stuck.
const OTHERS: usize = 20;

/// How long one of those may take: far below any time-out, far above what it needs.
const PROMPT: Duration = Duration::from_secs(10);

/// Answers that show that traffic flows.
const SOME: u64 = 100;

/// As a user starts it: through kubectl, by the service's port.
pub(crate) async fn forward(workspace: Arc<Workspace>) -> Test {
    workspace.app().await?;
    let mut forward = workspace.kubectl_fwd("svc/NAME :80")?;
    let port = forward.port().await?;
    let pod = ask(port).await?;
    assert!(workspace.pods().await?.contains(&pod), "{pod} answered");
    let mut stream = send(port, "/bytes?n=5000000").await?;
    let bytes = answer(&mut stream).await?;
    assert!(
        bytes.len() == 5_000_000 && bytes.iter().zip((0..251).cycle()).all(|(byte, wanted)| *byte == wanted)
    );
    let echoed = post(&mut connect(port).await?, "/echo", &bytes).await?;
    assert!(echoed == bytes, "{} bytes came back", echoed.len());
    assert_eq!(forward.end("INT").await?.code, Some(0));
    Ok(())
}

pub(crate) async fn several_ports(workspace: Arc<Workspace>) -> Test {
    workspace.app().await?;
    let mut forward = workspace.fwd("svc/NAME :80 :echo :9002")?;
    let (http, echo, hello) = (forward.port().await?, forward.port().await?, forward.port().await?);
    ask(http).await?;
    echoes(&mut connect(echo).await?).await?;
    // The application says so and half-closes.
    assert_eq!(rest(&mut connect(hello).await?).await?, b"hello\n");
    assert_eq!(forward.end("INT").await?.code, Some(0));
    Ok(())
}

pub(crate) async fn deleted_pod(workspace: Arc<Workspace>) -> Test {
    workspace.app().await?;
    let mut forward = workspace.fwd("svc/NAME :80")?;
    let port = forward.port().await?;
    let first = ask(port).await?;
    workspace.kubectl(&format!("delete pod {first} --wait=false")).await?;
    forward.stderr(&format!("pod {first} is terminating, new connections go to ")).await?;
    for _ in 0..OTHERS {
        assert_ne!(ask(port).await?, first);
    }
    Ok(())
}

/// No request fails while every pod is replaced, one after the other.
pub(crate) async fn rolling_restart(workspace: Arc<Workspace>) -> Test {
    workspace.app().await?;
    let mut forward = workspace.fwd("svc/NAME :80")?;
    let load = Load::start(forward.port().await?);
    within("the first answers", load.until(|counts| counts.answered >= SOME)).await?;
    let old: BTreeSet<String> = workspace.pods().await?.into_iter().collect();
    workspace.kubectl("rollout restart deployment/NAME".replace("NAME", &workspace.name).as_str()).await?;
    workspace.rolled_out(&format!("deployment/{}", workspace.name)).await?;
    let new = |pod: &String| !old.contains(pod);
    within("an answer from a new pod", load.until(|counts| counts.last.as_ref().is_some_and(new))).await?;
    let before = load.counts().answered;
    within("more answers", load.until(|counts| counts.answered >= before + SOME)).await?;
    let counts = load.stop().await;
    assert_eq!(counts.failed, 0, "{counts:?}\n{}", forward.said_on_stderr());
    Ok(())
}

/// One port refuses, again and again, and the other goes on.
pub(crate) async fn refused_port(workspace: Arc<Workspace>) -> Test {
    workspace.app().await?;
    let mut forward = workspace.fwd("deployment/NAME :8080 :1")?;
    let (good, bad) = (forward.port().await?, forward.port().await?);
    let mut lasting = connect(good).await?;
    assert!(!post(&mut lasting, "/", b"").await?.is_empty());
    for _ in 0..3 {
        expect_refusal(bad).await?;
        ask(good).await?;
    }
    forward.stderr("refuse").await?;
    assert!(!post(&mut lasting, "/", b"").await?.is_empty());
    assert_eq!(forward.end("INT").await?.code, Some(0));
    Ok(())
}

/// Neither a client nor an application that stops reading holds up anybody else.
pub(crate) async fn stalled_reader(workspace: Arc<Workspace>) -> Test {
    workspace.app().await?;
    let mut forward = workspace.fwd("deployment/NAME :8080 :9004")?;
    let (http, deaf) = (forward.port().await?, forward.port().await?);
    let idle_client = send(http, &format!("/bytes?n={MORE_THAN_QUEUED}")).await?;
    within("the first bytes", idle_client.readable()).await??;
    let mut to_the_deaf = connect(deaf).await?;
    let pushing = tokio::spawn(async move { to_the_deaf.write_all(&vec![0; MORE_THAN_QUEUED]).await });
    for _ in 0..OTHERS {
        tokio::time::timeout(PROMPT, ask(http)).await.map_err(|_| "held up")??;
    }
    assert!(!pushing.is_finished(), "everything was taken, and nothing stalled");
    pushing.abort();
    drop(idle_client);
    Ok(())
}

/// `create` on `pods/portforward` is enough, whatever the server's version.
pub(crate) async fn create_only_role(workspace: Arc<Workspace>) -> Test {
    workspace.app().await?;
    workspace.apply("role.yaml").await?;
    let kubeconfig = workspace.kubeconfig_of(&workspace.name).await?;
    let mut forward = workspace.fwd_as(&kubeconfig, "svc/NAME :80")?;
    let port = forward.port().await?;
    let first = ask(port).await?;
    workspace.kubectl(&format!("delete pod {first} --wait=false")).await?;
    forward.stderr("new connections go to ").await?;
    assert_ne!(ask(port).await?, first);
    assert_eq!(forward.end("INT").await?.code, Some(0));
    Ok(())
}

/// The only pod goes and comes back under its name; a connection made in between waits for it.
pub(crate) async fn stateful_set(workspace: Arc<Workspace>) -> Test {
    workspace.apply("stateful.yaml").await?;
    workspace.rolled_out(&format!("statefulset/{}", workspace.name)).await?;
    let mut forward = workspace.fwd("statefulset/NAME :pg")?;
    let port = forward.port().await?;
    echoes(&mut connect(port).await?).await?;
    workspace.kubectl(&format!("delete pod {}-0 --wait=false", workspace.name)).await?;
    forward.stderr("waiting for a ready pod").await?;
    echoes(&mut connect(port).await?).await?;
    assert_eq!(forward.end("INT").await?.code, Some(0));
    Ok(())
}

async fn echoes(stream: &mut TcpStream) -> Result<(), Failure> {
    let mut echoed = [0; 5];
    within("an echo", async {
        stream.write_all(b"hello").await?;
        stream.read_exact(&mut echoed).await
    })
    .await??;
    assert_eq!(&echoed, b"hello");
    Ok(())
}
