//! PostgreSQL over TLS.

use sandbox::support::Test;

use super::behind::Behind;
use super::running::{Dialogue, begin, end, run, run_with};
use super::servers::postgres::Postgres;

const PORT: u16 = 5432;

/// Rows that are copied in and out: some 8 MiB.
const ROWS: usize = 100_000;

/// The keys of `pg_dump`'s own, which differ from dump to dump.
fn without_keys(dump: &str) -> Vec<&str> {
    dump.lines()
        .filter(|line| !line.starts_with("\\restrict ") && !line.starts_with("\\unrestrict "))
        .collect()
}

/// One that listens and is idle meanwhile hears of what another tells; rows come out as they went in, and a dump through
/// the forward is the dump that is made without.
#[tokio::test(flavor = "multi_thread")]
async fn queries_copies_and_dumps() -> Test {
    let Some(postgres) = Postgres::start().await? else { return Ok(()) };
    let behind = Behind::start(&[(PORT, postgres.server.address)]).await?;
    let (_forward, port) = behind.forward(PORT).await?;

    let mut listener = Dialogue::begin(&mut postgres.psql(port))?;
    listener.say("listen news; select 'listening';").await?;
    listener.until("listening").await?;

    let is_tls = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
    assert_eq!(run(postgres.psql(port).args(["-c", is_tls])).await?.trim(), "t");
    run(postgres.psql(port).args(["-c", "create table lines (number int, line text)"])).await?;
    let row = |number: usize| format!("{number}\t{}\n", format!("{:08x}", number * 40_503).repeat(9));
    let rows: Vec<u8> = (0..ROWS).flat_map(|number| row(number).into_bytes()).collect();
    run_with(postgres.psql(port).args(["-c", "copy lines from stdin"]), rows.clone()).await?;
    let copied = run_with(postgres.psql(port).args(["-c", "copy lines to stdout"]), Vec::new()).await?;
    assert!(copied == rows, "{} bytes went in, {} others came out", rows.len(), copied.len());

    let dump = run(&mut postgres.pg_dump(port)).await?;
    let direct = run(&mut postgres.pg_dump(postgres.server.address.port())).await?;
    assert!(dump.len() > rows.len() && without_keys(&dump) == without_keys(&direct), "the dumps differ");

    run(postgres.psql(port).args(["-c", "notify news, 'hello'"])).await?;
    // psql looks for news when it has something to do.
    listener.say("select 'asked';").await?;
    let heard = listener.until("Asynchronous notification").await?;
    assert!(heard.contains("\"news\" with payload \"hello\""), "{heard}");
    Ok(())
}

/// Transactions on connections that stay, then on a new one each while the pod is deleted.
#[tokio::test(flavor = "multi_thread")]
async fn transactions() -> Test {
    let Some(postgres) = Postgres::start().await? else { return Ok(()) };
    let behind = Behind::start(&[(PORT, postgres.server.address)]).await?;
    let (mut forward, port) = behind.forward(PORT).await?;
    run(&mut postgres.pgbench(port, "--initialize --quiet")).await?;
    let words = "--no-vacuum -c 8 -j 2 --transactions";
    all_processed(&run(&mut postgres.pgbench(port, &format!("{words} 50"))).await?, 400);
    let load = begin(&mut postgres.pgbench(port, &format!("--connect {words} 30")))?;
    behind.delete_in_the_middle(&mut forward, PORT, 40).await?;
    let report = end("pgbench", load)
        .await
        .map_err(|failure| format!("{failure}\nkubectl-fwd said:\n{}", forward.said_on_stderr()))?;
    all_processed(&report, 240);
    Ok(())
}

/// Only those count that did not fail.
fn all_processed(report: &str, wanted: u32) {
    assert!(report.contains(&format!("transactions actually processed: {wanted}/{wanted}\n")), "{report}");
}
