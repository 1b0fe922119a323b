//! Many starts, several at a time: when the command begins its forward works, every time.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::try_join_all;
use sandbox::support::{Failure, Test, World, forward::Ended, within};

use crate::{PROGRAM, beside};

/// Starts in the suite. `FWD_COMMAND_STARTS=1000 cargo test --test command starts` makes more of them.
const STARTS: usize = 24;

/// Starts at a time.
const AT_ONCE: usize = 4;

/// One request over the forward, by the shell itself: the command's first deed, without a second try.
const REQUEST: &str = r"exec 3<>/dev/tcp/{host}/{port} || exit 8
    printf 'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n' >&3 && head -c 15 <&3; exit 7";

#[tokio::test]
async fn each_has_a_forward_that_works() -> Test {
    let world = World::new(PROGRAM).await?;
    let starts =
        std::env::var("FWD_COMMAND_STARTS").ok().and_then(|text| text.parse().ok()).unwrap_or(STARTS);
    let begun = AtomicUsize::new(0);
    let worker = || async {
        while begun.fetch_add(1, Ordering::Relaxed) < starts {
            let mut command = beside(&world, "svc/api :80", &["bash", "-c", REQUEST]);
            let ran: Ended = within("a start", command.output()).await??.try_into()?;
            let expected = Ended { code: Some(7), stdout: "HTTP/1.1 200 OK".into(), stderr: String::new() };
            assert_eq!(ran, expected);
        }
        Ok::<_, Failure>(())
    };
    try_join_all((0..AT_ONCE).map(|_| worker())).await?;
    assert!(world.sockets()?.is_empty());
    Ok(())
}
