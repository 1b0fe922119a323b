//! The main scenarios, on any cluster: the one that `FWD_E2E_KUBECONFIG` names (README.md in this folder says how), and
//! always the sandbox. What is needed there is applied, and removed again, by real kubectl.

mod kubernetes;
mod legacy;
mod scenarios;
mod workspace;

/// Each scenario, by its module, as two tests.
macro_rules! on_both {
    ($($module:ident::$scenario:ident)*) => {
        mod on_the_sandbox {
            use crate::{workspace::{self, Test}, kubernetes, scenarios};
            $(#[tokio::test]
            async fn $scenario() -> Test {
                workspace::on_the_sandbox(stringify!($scenario), $module::$scenario).await
            })*
        }

        mod on_a_cluster {
            use crate::{workspace::{self, Test}, kubernetes, scenarios};
            $(#[tokio::test]
            async fn $scenario() -> Test {
                workspace::on_a_cluster(stringify!($scenario), $module::$scenario).await
            })*
        }
    };
}

on_both! {
    scenarios::forward
    scenarios::several_ports
    scenarios::deleted_pod
    scenarios::rolling_restart
    scenarios::refused_port
    scenarios::stalled_reader
    scenarios::create_only_role
    scenarios::stateful_set
    kubernetes::no_data_expected
    kubernetes::data_expected_and_none_sent
    kubernetes::data_expected_and_sent
    kubernetes::legacy_websocket
    kubernetes::body_never_read
}

/// A scenario that fails, be it by a panic, leaves nothing behind.
mod on_failure {
    use std::sync::Arc;

    use sandbox::support::kubectl;
    use sandbox::{Options, Sandbox};

    use crate::workspace::{self, Test, Workspace};

    async fn fails(workspace: Arc<Workspace>) -> Test {
        workspace.app().await?;
        Err("as it should".into())
    }

    async fn panics(workspace: Arc<Workspace>) -> Test {
        workspace.apply("role.yaml").await?;
        workspace.app().await?;
        panic!("as it should");
    }

    #[tokio::test]
    async fn nothing_is_left() -> Test {
        let Some(kubectl) = kubectl::all().pop() else { return Ok(()) };
        let sandbox = Sandbox::start(Options::default()).await?;
        let before = everything(&sandbox);
        let cluster =
            workspace::TestCluster { kubectl, kubeconfig: sandbox.kubeconfig("admin"), image: "any".into() };
        for namespace in [None, Some("prod")] {
            let namespace = namespace.map(str::to_owned);
            let failed = cluster.clone().run("fails", namespace.clone(), fails).await;
            assert_eq!(failed.map_err(|failure| failure.to_string()), Err("as it should".to_owned()));
            let panicked = tokio::spawn(cluster.clone().run("panics", namespace, panics)).await;
            assert!(panicked.is_err_and(|error| error.is_panic()));
            sandbox.wait_until("everything to be gone", |sandbox| everything(sandbox) == before).await?;
        }
        Ok(())
    }

    /// The objects that a scenario may have made.
    fn everything(sandbox: &Sandbox) -> Vec<String> {
        let kinds =
            ["namespaces", "pods", "deployments", "services", "roles", "rolebindings", "serviceaccounts"];
        kinds.iter().flat_map(|kind| sandbox.names(kind)).collect()
    }
}
