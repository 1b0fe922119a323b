//! The library as an embedding program uses it, on the sandbox: the example as it stands, and what it does not show.

#[expect(dead_code, reason = "its main is for the command line")]
#[path = "../../examples/forward.rs"]
mod example;

use kubectl_fwd::{
    ClusterEnvironment, EventKind, Flags, ForwardSpec, GRACE, Kind, Registry, StopReason, Target,
};
use sandbox::support::{Failure, Test, ask, within};
use sandbox::{Options, Sandbox};
use tokio::sync::{broadcast::error::RecvError, mpsc, oneshot};

/// What a user of this cluster has.
fn environment(sandbox: &Sandbox) -> ClusterEnvironment {
    ClusterEnvironment {
        kubeconfig: Some(sandbox.kubeconfig("admin").into()),
        ..ClusterEnvironment::default()
    }
}

#[tokio::test]
async fn the_example_forwards_and_follows() -> Test {
    let sandbox = Sandbox::start(Options::default()).await?;
    let environment = environment(&sandbox);
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

#[tokio::test]
async fn forwards_end_one_by_one_and_with_their_registry() -> Test {
    let sandbox = Sandbox::start(Options::default()).await?;
    let registry = Registry::new(Flags::default(), environment(&sandbox));
    let mut events = registry.events();
    let api =
        ForwardSpec { label: Some("api".into()), ..ForwardSpec::new("svc/api".parse()?, [":80".parse()?]) };
    let web = ForwardSpec::new(Target::object(Kind::Deployment, "web"), [":8080".parse()?, ":8080".parse()?]);
    let ids = registry.start(vec![api, web]).await?;
    let forwards = registry.list();
    assert_eq!(forwards.iter().map(|forward| forward.id).collect::<Vec<_>>(), ids);
    assert_eq!(forwards[0].label.as_deref(), Some("api"));
    let ports: Vec<u16> = forwards.iter().filter_map(|forward| forward.local_port).collect();
    for port in &ports {
        ask(*port).await?;
    }

    registry.stop(&ids[..1], GRACE).await?;
    assert!(ask(ports[0]).await.is_err(), "the one that was stopped goes on");
    let unknown = registry.stop(&ids, GRACE).await.expect_err("one of them is not there");
    assert!(unknown.to_string().contains(&ids[0].to_string()), "{unknown}");
    ask(ports[1]).await?;
    ask(ports[2]).await?;

    drop(registry);
    let mut stopped = Vec::new();
    let ended = within("the end of the events", async {
        loop {
            match events.recv().await {
                Ok(event) => {
                    if let EventKind::Stopped { by } = &event.kind {
                        stopped.push((by.clone(), event.forwards[0]));
                    }
                }
                Err(ended) => return ended,
            }
        }
    });
    assert_eq!(ended.await?, RecvError::Closed);
    assert_eq!(stopped, [(StopReason::Asked, ids[0])]);
    for port in &ports {
        assert!(ask(*port).await.is_err(), "port {port} goes on without its registry");
    }
    Ok(())
}
