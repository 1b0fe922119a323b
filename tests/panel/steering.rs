//! Stopping, moving and reconnecting forwards by keys and by the mouse, in whichever process.

use std::sync::Arc;

use sandbox::support::{Failure, Test, World, ask, forward::Forward, refused, terminal::Terminal, within};
use tokio::sync::Notify;

use crate::PROGRAM;

/// Eight forwards in three processes, with their ports.
async fn eight(world: &World) -> Result<(Vec<Forward>, Vec<u16>), Failure> {
    let (mut processes, mut ports) = (Vec::new(), Vec::new());
    for (line, count) in [
        ("svc/api :80 deploy/api :8080 svc/web :80", 3),
        ("pod/solo :8080 svc/api :http deploy/web :8080", 3),
        ("svc/api :80 svc/web :80", 2),
    ] {
        let mut process = world.start(&format!("--address 127.0.0.1 {line}"))?;
        for _ in 0..count {
            ports.push(process.port().await?);
        }
        processes.push(process);
    }
    Ok((processes, ports))
}

#[tokio::test]
async fn eight_forwards_in_three_processes() -> Test {
    let world = World::new(PROGRAM).await?;
    let Some(terminal) = Terminal::open(&world, 120, 40).await? else { return Ok(()) };
    let (processes, ports) = eight(&world).await?;
    terminal.run("ui", "8 forwards in 3 processes").await?;
    // The others answer all along.
    let (others, enough) = (ports[2..].to_vec(), Arc::new(Notify::new()));
    let until = Arc::clone(&enough);
    let asking = tokio::spawn(async move {
        let mut end = std::pin::pin!(until.notified());
        loop {
            for port in &others {
                tokio::select! {
                    () = &mut end => return Ok::<_, Failure>(()),
                    answer = ask(*port) => { answer?; }
                }
            }
        }
    });
    // By keys: the row with the first port is moved to, whichever it is.
    terminal.press(&["/"]).await?;
    terminal.enter(&format!(":{}", ports[0])).await?;
    terminal.becomes("one row", |screen| screen.matches("127.0.0.1:").count() == 2).await?;
    terminal.press(&["d"]).await?;
    terminal.shows(&format!("(127.0.0.1:{})?", ports[0])).await?;
    terminal.press(&["y"]).await?;
    refused(ports[0]).await?;
    terminal.press(&["Escape"]).await?;
    terminal.shows("7 forwards in 3 processes").await?;
    // By the mouse alone.
    terminal.click(&format!("127.0.0.1:{}", ports[1])).await?;
    terminal.click("[ Stop ]").await?;
    terminal.shows(&format!("(127.0.0.1:{})?", ports[1])).await?;
    terminal.click("[ Yes (y) ]").await?;
    refused(ports[1]).await?;
    terminal.shows("6 forwards in 3 processes").await?;
    enough.notify_one();
    within("the last answer", asking).await???;
    // All of them, and with them their processes.
    terminal.click("[ Stop all ]").await?;
    terminal.shows("Stop all 6 forwards?").await?;
    terminal.press(&["y"]).await?;
    for process in processes {
        assert_eq!(process.wait().await?.code, Some(0));
    }
    terminal.shows("No forwards are running").await?;
    terminal.press(&["q"]).await?;
    terminal.is_given_back().await
}

#[tokio::test]
async fn a_pod_goes_and_another_is_chosen() -> Test {
    let world = World::new(PROGRAM).await?;
    let Some(terminal) = Terminal::open(&world, 180, 30).await? else { return Ok(()) };
    let (_forward, port) = world.working("svc/api :80").await?;
    terminal.run("ui", "1 forward in 1 process").await?;
    let first = ask(port).await?;
    terminal.shows(&first).await?;
    world.sandbox.delete("pod", "default", &first)?;
    terminal.shows(&format!("pod {first} is terminating; new connections go to pod ")).await?;
    world.sandbox.settled().await?;
    // Another one by hand.
    let second = ask(port).await?;
    terminal.press(&["p"]).await?;
    terminal.shows("Another pod for svc/api:80").await?;
    terminal.press(&["Enter"]).await?;
    terminal.shows(", as requested").await?;
    let third = ask(port).await?;
    assert_ne!(second, third);
    terminal.press(&["r"]).await?;
    terminal.shows(&format!("connected to pod {third} again")).await?;
    assert_eq!(ask(port).await?, third);
    // All about it, and saved.
    terminal.press(&["Enter"]).await?;
    terminal.shows("pod changes  2").await?;
    terminal.press(&["Escape"]).await?;
    terminal.press(&["s"]).await?;
    terminal.enter("mine").await?;
    terminal.shows("1 forward saved. Start: kubectl fwd up mine").await?;
    assert!(world.set("mine")?.contains("svc/api"));
    Ok(())
}

/// `--ui`: what is left ends with its process, so it asks.
#[tokio::test]
async fn the_panel_of_a_forward() -> Test {
    let world = World::new(PROGRAM).await?;
    let Some(terminal) = Terminal::open(&world, 100, 30).await? else { return Ok(()) };
    terminal.run("--ui svc/api :80 pod/solo :8080", "events of svc/api:80").await?;
    let all = world.list().await?;
    let ports: Vec<u16> =
        all.iter().filter_map(|one| one["localPort"].as_u64()).map(|port| port as u16).collect();
    assert_eq!(ports.len(), 2);
    for port in &ports {
        ask(*port).await?;
    }
    terminal.press(&["q"]).await?;
    terminal.shows("Quit, and stop the 2 forwards?").await?;
    terminal.press(&["n"]).await?;
    terminal.becomes("no question", |screen| !screen.contains("Quit, and stop")).await?;
    ask(ports[0]).await?;
    terminal.press(&["q", "y"]).await?;
    terminal.is_given_back().await?;
    refused(ports[0]).await?;
    terminal.enter("$FWD --ui svc/nothing :80; echo STA''TUS $?").await?;
    let screen = terminal.shows("STATUS 1").await?;
    assert!(screen.contains("there is no service nothing"), "{screen}");
    Ok(())
}
