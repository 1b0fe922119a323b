//! The example of the library, as it stands, on the sandbox.

#[expect(dead_code, reason = "its main is for the command line")]
#[path = "../../examples/forward.rs"]
mod example;

use kubectl_fwd::cluster::config::flags::Environment;
use sandbox::client::{Failure, Test, ask, within};
use sandbox::{Options, Sandbox};
use tokio::sync::{mpsc, oneshot};

#[tokio::test]
async fn the_example_forwards_and_follows() -> Test {
    let sandbox = Sandbox::start(Options::default()).await?;
    let kubeconfig = Some(sandbox.kubeconfig("admin").into());
    let environment = Environment { kubeconfig, ..Environment::default() };
    let (tell, mut told) = mpsc::unbounded_channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let example = example::forward(environment, "svc/api", ":80", |line| _ = tell.send(line), async {
        _ = stopped.await;
    });
    let user = async {
        let mut line = async || within("a line", told.recv()).await?.ok_or(Failure::from("it ended"));
        let begun = line().await?;
        let port = begun.strip_prefix("svc/api: port ").and_then(|rest| rest.split(' ').next());
        let port: u16 = port.ok_or_else(|| format!("no port in {begun}"))?.parse()?;
        let first = ask(port).await?;
        sandbox.delete("pod", "default", &first)?;
        let moved = line().await?;
        let now = ask(port).await?;
        assert_eq!(moved, format!("svc/api: now pod {now}"));
        assert_ne!(now, first);
        _ = stop.send(());
        Ok::<_, Failure>(port)
    };
    let (ended, user) = tokio::join!(example, user);
    ended.map_err(|error| error.to_string())?;
    assert!(ask(user?).await.is_err(), "it goes on");
    Ok(())
}
