//! What the panel costs. It measures and judges nothing: a machine that does other things has other numbers.

use std::{
    fs,
    io::{self, Write as _},
    time::Duration,
};

use sandbox::support::{Failure, Test, World, terminal::Terminal};
use tokio::time::{Instant, sleep};

use crate::PROGRAM;

/// Forwards of one process.
const FORWARDS: usize = 200;
/// How long each measurement takes.
const SPAN: Duration = Duration::from_secs(10);

/// Processor time of a process so far, in seconds: clock ticks of a hundredth (proc(5)).
fn seconds(pid: &str) -> Result<f64, Failure> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim()))?;
    let fields: Vec<&str> = stat.rsplit_once(") ").ok_or("no name")?.1.split(' ').collect();
    let ticks = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    Ok(ticks / 100.0)
}

#[tokio::test]
#[ignore = "it measures: cargo test --test panel -- --ignored --nocapture"]
async fn what_200_forwards_cost() -> Test {
    let world = World::new(PROGRAM).await?;
    let Some(terminal) = Terminal::open(&world, 160, 50).await? else { return Ok(()) };
    let ports = " :80".repeat(FORWARDS);
    let (_forward, _) = world.working(&format!("--address 127.0.0.1 svc/api{ports}")).await?;
    terminal.enter("sh -c 'echo $$ > panel.pid; exec $FWD ui'").await?;
    terminal.shows(&format!("{FORWARDS} forwards in 1 process")).await?;
    let pid = fs::read_to_string(world.path("panel.pid"))?;
    // It takes to the slower pace once nothing has changed for a while.
    sleep(SPAN).await;
    let before = seconds(&pid)?;
    sleep(SPAN).await;
    let idle = (seconds(&pid)? - before) / SPAN.as_secs_f64();
    let (before, begun) = (seconds(&pid)?, Instant::now());
    while begun.elapsed() < SPAN {
        // As fast as a key repeats that is held down.
        for key in ["Down"; 30].into_iter().chain(["Up"; 30]) {
            terminal.press(&[key]).await?;
            sleep(Duration::from_millis(20)).await;
        }
    }
    let scrolling = (seconds(&pid)? - before) / begun.elapsed().as_secs_f64();
    let cost = format!("idle: {:.1} % of a core; scrolling: {:.1} %", idle * 100.0, scrolling * 100.0);
    Ok(writeln!(io::stderr(), "{cost}")?)
}
