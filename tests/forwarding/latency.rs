//! How many round trips a new connection takes.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::start::working;
use sandbox::support::pods::cluster;
use sandbox::support::{Test, send, within};

const ROUND_TRIP: Duration = Duration::from_millis(50);

/// Printed to be read, asserted only as far as a busy machine cannot spoil: kubectl takes three round trips.
#[tokio::test]
async fn the_first_answer_takes_one_round_trip() -> Test {
    let sandbox = cluster().await?;
    sandbox.faults().latency(ROUND_TRIP / 2);
    let (_forward, port) = working(&sandbox, "svc/api :80").await?;
    let mut times = Vec::new();
    for _ in 0..9 {
        let begun = Instant::now();
        within("an answer", send(port, "/").await?.readable()).await??;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    let [fastest, .., slowest] = times[..] else { return Ok(()) };
    let median = times[times.len() / 2];
    let round_trips = median.as_secs_f64() / ROUND_TRIP.as_secs_f64();
    // Not with `println`: what a passing test prints so is swallowed.
    writeln!(
        std::io::stderr(),
        "first answer at a round trip of {ROUND_TRIP:?}: {median:?} ({round_trips:.2} round trips), {fastest:?} to {slowest:?}"
    )?;
    assert!(fastest >= ROUND_TRIP, "{fastest:?}: there was no latency");
    assert!(round_trips < 2.0, "{round_trips:.2} round trips");
    Ok(())
}
