//! Real kubectl against the sandbox, each version that is found: the proof that the sandbox is faithful.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use sandbox::support::kubectl;
use sandbox::{Options, Sandbox};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};

/// What one kubectl said.
struct Said {
    status: ExitStatus,
    stdout: String,
    stderr: String,
}

/// One kubectl, for one user of one sandbox.
struct Kubectl<'a> {
    program: PathBuf,
    sandbox: &'a Sandbox,
    user: &'a str,
}

impl<'a> Kubectl<'a> {
    fn as_user(&self, user: &'a str) -> Self {
        Self { program: self.program.clone(), sandbox: self.sandbox, user }
    }

    fn command(&self, line: &str) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(&self.program);
        command
            .arg("--kubeconfig")
            .arg(self.sandbox.kubeconfig(self.user))
            .arg("--cache-dir")
            .arg(self.sandbox.directory().join("cache"))
            .args(line.split_whitespace())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    async fn run(&self, line: &str) -> Said {
        let output = self.command(line).output().await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Said { status: output.status, stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Must succeed; gives stdout.
    async fn ok(&self, line: &str) -> String {
        let said = self.run(line).await;
        assert!(said.status.success(), "{} {line}: {}{}", self.program.display(), said.stdout, said.stderr);
        said.stdout
    }

    /// Must fail; gives stderr.
    async fn fails(&self, line: &str) -> String {
        let said = self.run(line).await;
        assert!(!said.status.success(), "{} {line}: {}{}", self.program.display(), said.stdout, said.stderr);
        said.stderr
    }

    async fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.ok(&format!("{line} -o json")).await).unwrap()
    }

    /// Starts it, and gives the lines that it writes.
    fn start(
        &self,
        line: &str,
    ) -> (tokio::process::Child, tokio::io::Lines<BufReader<tokio::process::ChildStdout>>) {
        let mut child = self.command(line).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        (child, lines)
    }
}

/// Runs `check` with each kubectl, each with a sandbox of its own.
async fn with_each(check: impl AsyncFn(Kubectl<'_>)) {
    for program in kubectl::all() {
        let sandbox = Sandbox::start(Options::default()).await.unwrap();
        check(Kubectl { program, sandbox: &sandbox, user: "admin" }).await;
        sandbox.stop().await;
    }
}

#[tokio::test]
async fn reads() {
    with_each(async |kubectl| {
        let pods = kubectl.ok("get pods").await;
        assert!(pods.starts_with("NAME "), "{pods}");
        let line = |name: &str| pods.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(line("db-0 ").contains("1/1") && line("db-0 ").contains("Running"), "{pods}");
        assert!(line("stuck ").contains("ImagePullBackOff") && line("notready ").contains("0/1"), "{pods}");
        assert!(kubectl.ok("get pods -o wide").await.contains("node1"));
        let names = kubectl.ok("get pods -l app=db -o name").await;
        assert_eq!(names.lines().collect::<Vec<_>>(), ["pod/db-0", "pod/db-1"]);
        assert_eq!(kubectl.json("get deploy api").await["status"]["readyReplicas"], 2);
        assert!(kubectl.ok("get svc api -o yaml").await.contains("targetPort: http"));
        assert!(kubectl.ok("get all -A").await.contains("replicationcontroller/old"));
        let pages = kubectl.ok("get pods -A --chunk-size=3 --no-headers").await;
        assert_eq!(pages.lines().count(), 14, "{pages}");
        assert!(kubectl.ok("describe pod db-0").await.contains("Controlled By:  StatefulSet/db"));
        assert!(kubectl.ok("describe svc web").await.contains(":8080,"));
        let described = kubectl.ok("describe deploy api").await;
        assert!(described.contains("2 desired | 2 updated | 2 total | 2 available"), "{described}");
        assert!(kubectl.ok("api-resources").await.contains("endpointslices"));
        assert!(kubectl.ok("version").await.contains("v1.36.2"));
        let missing = kubectl.fails("get svc wbe").await;
        assert!(missing.contains("Error from server (NotFound): services \"wbe\" not found"), "{missing}");
        assert!(
            kubectl.run("get pods -n nope").await.stderr.contains("No resources found in nope namespace.")
        );
    })
    .await;
}

#[tokio::test]
async fn users() {
    with_each(async |kubectl| {
        let dev = kubectl.as_user("dev");
        assert_eq!(dev.ok("auth can-i create pods --subresource=portforward").await.trim(), "yes");
        assert_eq!(dev.run("auth can-i get pods --subresource=portforward").await.stdout.trim(), "no");
        let refused = dev.fails("get --raw /api/v1/namespaces/default/pods/db-0/portforward").await;
        assert!(
            refused.contains(
                "Error from server (Forbidden): pods \"db-0\" is forbidden: User \"dev\" cannot get resource \
                 \"pods/portforward\" in API group \"\" in the namespace \"default\""
            ),
            "{refused}"
        );
        let refused = kubectl.as_user("nothing").fails("get deploy").await;
        assert!(
            refused.contains(
                "deployments.apps is forbidden: User \"nothing\" cannot list resource \"deployments\" in API \
                 group \"apps\" in the namespace \"default\""
            ),
            "{refused}"
        );
        let refused =
            kubectl.as_user("nowatch").fails("get --raw /api/v1/namespaces/default/pods?watch=1").await;
        assert!(refused.contains("cannot watch resource \"pods\""), "{refused}");
        let refused = kubectl.as_user("expired").fails("get pods").await;
        assert!(refused.contains("You must be logged in to the server"), "{refused}");
        assert!(kubectl.as_user("cert-admin").ok("get nodes").await.contains("node1"));
        assert!(kubectl.fails("get nodes --as=dev").await.contains("\"dev\" cannot list resource \"nodes\""));
        assert!(dev.fails("get pods --as=admin").await.contains("cannot impersonate resource \"users\""));
    })
    .await;
}

/// Roles that are bound count at once, and a service account's token as long as the account is there.
#[tokio::test]
async fn roles_and_service_accounts() {
    with_each(async |kubectl| {
        kubectl.ok("create sa robot").await;
        let token = kubectl.ok("create token robot").await;
        let as_robot = |line: &str| format!("--token={} {line}", token.trim());
        let nobody = kubectl.as_user("tokenless");
        std::fs::write(
            kubectl.sandbox.kubeconfig("tokenless"),
            kubectl.ok("config view --raw --minify -o json").await.replace("token-of-admin", ""),
        )
        .unwrap();
        let refused = nobody.fails(&as_robot("get pods")).await;
        let said = "User \"system:serviceaccount:default:robot\" cannot list resource \"pods\"";
        assert!(refused.contains(said), "{refused}");

        kubectl.ok("create role reader --verb=get,list --resource=pods,deployments.apps").await;
        kubectl.ok("create role porter --verb=create --resource=pods/portforward").await;
        for role in ["reader", "porter"] {
            let line =
                format!("create rolebinding robot-{role} --role={role} --serviceaccount=default:robot");
            kubectl.ok(&line).await;
        }
        assert!(nobody.ok(&as_robot("get pods,deploy")).await.contains("deployment.apps/api"));
        let may = async |what: &str| {
            nobody.run(&as_robot(&format!("auth can-i {what}"))).await.stdout.trim().to_owned()
        };
        assert_eq!(may("create pods --subresource=portforward").await, "yes");
        for not in ["get pods --subresource=portforward", "watch pods", "list pods -n prod", "list svc"] {
            assert_eq!(may(not).await, "no", "{not}");
        }
        let bindings = kubectl.ok("get rolebindings").await;
        assert!(bindings.contains("Role/porter"), "{bindings}");

        // A cluster role counts where it is bound, and everywhere if it is bound to the cluster.
        kubectl.ok("create clusterrole seer --verb=list --resource=services").await;
        kubectl.ok("-n prod create rolebinding seer --clusterrole=seer --group=system:serviceaccounts").await;
        nobody.ok(&as_robot("get svc -n prod")).await;
        nobody.fails(&as_robot("get svc -A")).await;
        kubectl.ok("create clusterrolebinding seer --clusterrole=seer --user=nothing").await;
        kubectl.as_user("nothing").ok("get svc -A").await;
        kubectl.ok("get svc -n prod --as=system:serviceaccount:default:robot").await;

        kubectl.ok("delete rolebinding robot-reader").await;
        nobody.fails(&as_robot("get pods")).await;
        kubectl.ok("delete sa robot").await;
        kubectl.ok("create sa robot").await;
        let refused = nobody.fails(&as_robot("get pods")).await;
        assert!(refused.contains("You must be logged in to the server"), "{refused}");
    })
    .await;
}

#[tokio::test]
async fn pods_come_back() {
    with_each(async |kubectl| {
        let before = kubectl.json("get pod db-0").await["metadata"]["uid"].clone();
        kubectl.ok("delete pod db-0").await;
        kubectl.sandbox.settled().await.unwrap();
        assert_ne!(kubectl.json("get pod db-0").await["metadata"]["uid"], before);

        let old = kubectl.sandbox.ready_pods("default", "app=web").unwrap().remove(0);
        kubectl.ok(&format!("delete pod {old}")).await;
        kubectl.sandbox.settled().await.unwrap();
        let now = kubectl.sandbox.ready_pods("default", "app=web").unwrap();
        assert!(now.len() == 3 && !now.contains(&old), "{old} {now:?}");

        kubectl.ok("delete pod solo --force --grace-period=0").await;
        assert!(kubectl.fails("get pod solo").await.contains("NotFound"));
    })
    .await;
}

#[tokio::test]
async fn rollouts() {
    with_each(async |kubectl| {
        kubectl.ok("scale deploy/web --replicas=0").await;
        kubectl.ok("rollout status deploy/web --timeout=20s").await;
        kubectl.sandbox.settled().await.unwrap();
        assert!(kubectl.sandbox.pods("default", "app=web").unwrap().is_empty());
        kubectl.ok("scale deploy/web --replicas=2").await;
        let old = kubectl.json("get rs -l app=web").await["items"][0]["metadata"]["name"].clone();
        kubectl.ok("rollout status deploy/web --timeout=20s").await;
        kubectl.ok("rollout restart deploy/web").await;
        let said = kubectl.ok("rollout status deploy/web --timeout=20s").await;
        assert!(said.contains("successfully rolled out"), "{said}");
        kubectl.sandbox.settled().await.unwrap();
        let pods = kubectl.json("get pods -l app=web").await;
        for pod in pods["items"].as_array().unwrap() {
            assert_ne!(pod["metadata"]["ownerReferences"][0]["name"], old);
        }
        kubectl.ok("rollout undo deploy/web").await;
        kubectl.ok("rollout status deploy/web --timeout=20s").await;
        for set in ["sts/db", "ds/agent"] {
            kubectl.ok(&format!("rollout restart {set}")).await;
            kubectl.ok(&format!("rollout status {set} --timeout=20s")).await;
        }
    })
    .await;
}

#[tokio::test]
async fn writes() {
    with_each(async |kubectl| {
        kubectl.ok("label pod db-1 colour=red").await;
        assert_eq!(kubectl.ok("get pods -l colour=red -o name").await.trim(), "pod/db-1");
        kubectl.ok("label pod db-1 colour-").await;
        kubectl.ok("annotate svc api note=here").await;
        kubectl.ok("create ns tmp").await;
        kubectl.ok("-n tmp run bare --image=x --port=8080").await;
        kubectl.ok("-n tmp wait --for=condition=Ready pod/bare --timeout=20s").await;
        kubectl.ok("create deploy mine --image=x --port=9000 --replicas=2").await;
        kubectl.ok("rollout status deploy/mine --timeout=20s").await;
        kubectl.ok("expose deploy mine --port=80 --target-port=9000").await;
        kubectl.ok("delete ns tmp").await;
        assert!(kubectl.fails("get ns tmp").await.contains("NotFound"));
        let manifest = kubectl.sandbox.directory().join("manifest.yaml");
        std::fs::write(&manifest, MANIFEST).unwrap();
        let apply = format!("apply --validate=false -f {}", manifest.display());
        assert!(kubectl.ok(&apply).await.contains("service/applied created"));
        std::fs::write(&manifest, MANIFEST.replace("port: 80}", "port: 81}")).unwrap();
        assert!(kubectl.ok(&apply).await.contains("service/applied configured"));
        assert!(kubectl.ok(&apply).await.contains("service/applied unchanged"));
        kubectl.ok(&format!("delete -f {}", manifest.display())).await;
    })
    .await;
}

const MANIFEST: &str = "
apiVersion: v1
kind: Service
metadata: {name: applied}
spec: {selector: {app: web}, ports: [{port: 80}]}
";

/// `get -w` sees a deleted pod go and its successor come, in the order in which a real cluster shows them.
#[tokio::test]
async fn watches() {
    with_each(async |kubectl| {
        let (mut watching, mut lines) = kubectl.start("get pods -l app=db -w");
        while !lines.next_line().await.unwrap().unwrap().starts_with("db-1 ") {}
        kubectl.ok("delete pod db-0 --wait=false").await;
        for state in ["Terminating", "Completed", "Pending", "ContainerCreating", "Running"] {
            while lines.next_line().await.unwrap().unwrap().split_whitespace().nth(2) != Some(state) {}
        }
        watching.kill().await.unwrap();
    })
    .await;
}

/// What a watch is told: what was there, the bookmark after it, what happens; 410 once the history is forgotten.
#[tokio::test]
async fn raw_watches() {
    with_each(async |kubectl| {
        let watch = "get --raw /api/v1/namespaces/default/pods?watch=1&timeoutSeconds=1";
        let events = async |query: &str| -> Vec<Value> {
            let said = kubectl.ok(&format!("{watch}&{query}")).await;
            said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        let initial = "allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
        let seen = events(&format!("{initial}&labelSelector=app%3Ddb")).await;
        let kinds: Vec<_> = seen.iter().filter_map(|event| event["type"].as_str()).collect();
        assert_eq!(kinds[..3], ["ADDED", "ADDED", "BOOKMARK"]);
        assert_eq!(seen[2]["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");

        let version = kubectl.sandbox.resource_version();
        kubectl.sandbox.mark_ready("default", "db-0", false).unwrap();
        kubectl.sandbox.mark_ready("default", "db-0", true).unwrap();
        let seen = events(&format!("resourceVersion={version}")).await;
        let kinds: Vec<_> = seen.iter().filter_map(|event| event["type"].as_str()).collect();
        assert_eq!(kinds, ["MODIFIED", "MODIFIED"]);

        kubectl.sandbox.compact();
        let seen = events(&format!("resourceVersion={version}")).await;
        assert_eq!((&seen[0]["type"], &seen[0]["object"]["code"]), (&"ERROR".into(), &410.into()));
        let future = kubectl.fails(&format!("{watch}&resourceVersion=999999999")).await;
        assert!(future.contains("Too large resource version"), "{future}");
    })
    .await;
}

#[tokio::test]
async fn the_api_restarts_and_pods_live_on() {
    with_each(async |kubectl| {
        let before = kubectl.json("get pod db-0").await["metadata"]["uid"].clone();
        let (mut watching, mut lines) = kubectl.start("get --raw /api/v1/pods?watch=1");
        lines.next_line().await.unwrap().unwrap();
        kubectl.sandbox.restart_api().await.unwrap();
        while lines.next_line().await.unwrap().is_some() {}
        watching.wait().await.unwrap();
        assert_eq!(kubectl.json("get pod db-0").await["metadata"]["uid"], before);
        kubectl.ok("create --raw /admin/kill-container?pod=db-0 -f /dev/null").await;
        let pod = kubectl.json("get pod db-0").await;
        assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 1);
        let refused = kubectl.as_user("dev").fails("create --raw /admin/compact -f /dev/null").await;
        assert!(refused.contains("Forbidden"), "{refused}");
    })
    .await;
}
