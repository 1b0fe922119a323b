//! As a plugin of real kubectl.

use sandbox::support::{forward, kubectl};

use crate::run::{path, run, sandbox};

#[tokio::test]
async fn as_its_plugin() {
    let sandbox = sandbox().await;
    for kubectl in kubectl::all() {
        let words = ["fwd", "doctor", "svc/api", ":80"];
        let mut command = forward::command(&kubectl, &sandbox.kubeconfig("admin"), &words);
        command.env("PATH", path()).env("LC_ALL", "C.UTF-8");
        let ended = run(command).await;
        assert_eq!(ended.code, Some(0), "{}: {ended:?}", kubectl.display());
        assert!(ended.stdout.contains("✔ application port 8080"), "{}", ended.stdout);
        assert!(ended.stdout.contains("✔ kubectl "), "{}", ended.stdout);
    }
}
