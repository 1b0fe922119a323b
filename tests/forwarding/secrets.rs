//! What the log shows at its loudest: a lot, and nothing that opens anything.

use http::StatusCode;
use sandbox::faults::Denial;
use sandbox::support::forward::Ended;

use crate::start::fwd;
use sandbox::support::pods::cluster;
use sandbox::support::{Test, ask};

fn holds_no_credential(line: &str, ended: Ended) {
    let log = ended.stdout + &ended.stderr;
    assert!(log.contains(" DEBUG "), "{line}: {log}");
    for secret in ["token-of-", "s3cret", "dTpzM2NyZXQ=", "Bearer", "Basic ", "uthorization:"] {
        assert!(!log.contains(secret), "{line}: {secret} in {log}");
    }
}

/// A token of the kubeconfig, and one of the command line, each refused for a while.
#[tokio::test]
async fn tokens_are_not_logged() -> Test {
    let sandbox = cluster().await?;
    for line in ["svc/api :80 -v 9", "svc/api :80 -v 9 --token token-of-dev"] {
        let mut forward = fwd(&sandbox, line)?;
        let port = forward.port().await?;
        ask(port).await?;
        sandbox.faults().deny(Denial::new(StatusCode::UNAUTHORIZED).path("/portforward"));
        sandbox.faults().reset_all();
        forward.stderr("(401)").await?;
        sandbox.faults().clear();
        forward.stderr("connected to pod ").await?;
        ask(port).await?;
        holds_no_credential(line, forward.end("INT").await?);
    }
    Ok(())
}

/// Nor is a password, which this cluster does not take.
#[tokio::test]
async fn passwords_are_not_logged() -> Test {
    let sandbox = cluster().await?;
    let in_the_url = sandbox.url().replace("https://", "--server https://u:s3cret@");
    for words in ["--username u --password s3cret", &*in_the_url, &format!("-o json {in_the_url}")] {
        let line = format!("svc/api :80 -v 9 {words}");
        let ended = fwd(&sandbox, &line)?.wait().await?;
        assert_eq!(ended.code, Some(1));
        // It was sent, and it is not what the sandbox knows.
        assert!(ended.stderr.contains("401") || ended.stdout.contains("401"), "{line}: {ended:?}");
        holds_no_credential(&line, ended);
    }
    Ok(())
}
