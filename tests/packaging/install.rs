//! Installs the built program from its archive as krew does, and has kubectl run it.

use std::env::consts::{ARCH, OS};
use std::error::Error;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sandbox::support::forward::{self, Forward};
use sandbox::support::{kubectl, load};
use sandbox::{Options, Sandbox};

use crate::krew::{self, Plugin, is_licence};
use crate::{read, root};

type Failure = Box<dyn Error + Send + Sync>;

/// What krew calls this machine.
fn platform() -> (&'static str, &'static str) {
    let os = if OS == "macos" { "darwin" } else { OS };
    let arch = match ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    (os, arch)
}

fn script(name: &str, args: &[&Path]) -> Output {
    Command::new("bash").arg(root("scripts").join(name)).args(args).output().unwrap()
}

/// What a script that succeeded printed.
fn printed(output: Output) -> Result<String, Failure> {
    let Output { status, stdout, stderr } = output;
    if status.success() { Ok(String::from_utf8(stdout)?) } else { Err(String::from_utf8(stderr)?.into()) }
}

/// The archive of the binary that the tests were built with.
fn archive(folder: &Path) -> Result<PathBuf, Failure> {
    let binary = Path::new(env!("CARGO_BIN_EXE_kubectl-fwd"));
    let printed = printed(script("archive", &[Path::new("--binary"), binary, Path::new("--out"), folder]))?;
    Ok(printed.trim_end().into())
}

/// `krew install --manifest --archive`: the folder that is to be on the `PATH`.
fn install(root: &Path, plugin: &Plugin, archive: &Path) -> Result<PathBuf, Failure> {
    let (os, arch) = platform();
    let platform = plugin.spec.platforms.iter().find(|platform| platform.is_for(os, arch));
    let platform = platform.ok_or_else(|| format!("nothing for {os}/{arch}"))?;
    let sum = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &fs::read(archive)?);
    let sum = sum.as_ref().iter().fold(String::new(), |sum, byte| sum + &format!("{byte:02x}"));
    if sum != platform.sha256 {
        return Err(format!("checksum does not match, want: {}, got {sum}", platform.sha256).into());
    }

    let store = root.join("store").join(&plugin.metadata.name).join(&plugin.spec.version);
    fs::create_dir_all(&store)?;
    let tar = |flags: &str| Command::new("tar").arg(flags).arg(archive).arg("-C").arg(&store).output();
    // krew unpacks folders and plain files, and fails on all else.
    let listed = printed(tar("-tvzf")?)?;
    if let Some(other) = listed.lines().find(|line| !line.starts_with(['-', 'd'])) {
        return Err(format!("krew does not unpack {other}").into());
    }
    printed(tar("-xzf")?)?;

    let bin = store.join(&platform.bin);
    if bin.metadata()?.permissions().mode() & 0o111 == 0 {
        return Err(format!("{} is not executable", bin.display()).into());
    }
    let folder = root.join("bin");
    fs::create_dir_all(&folder)?;
    symlink(bin, folder.join(format!("kubectl-{}", plugin.metadata.name)))?;
    Ok(folder)
}

#[tokio::test]
async fn and_runs_through_kubectl() -> Result<(), Failure> {
    let sandbox = Sandbox::start(Options::default()).await?;
    let home = sandbox.directory();
    let archive = archive(&home.join("dist"))?;
    let plugin = krew::parse("fwd", &printed(script("krew-manifest", &[&archive]))?)
        .map_err(|wrong| wrong.join("\n"))?;
    let bin = install(&home.join("krew"), &plugin, &archive)?;

    let mut installed: Vec<String> = fs::read_dir(home.join("krew/store/fwd").join(&plugin.spec.version))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_, Failure>>()?;
    installed.sort();
    let scripts = ["kubectl-fwd.1", "kubectl-fwd.bash", "kubectl-fwd.fish"];
    assert_eq!(installed[..4], ["LICENSE", "README.md", "_kubectl-fwd", "kubectl-fwd"]);
    assert_eq!(installed[4..], scripts);
    assert!(installed.iter().any(|name| is_licence(name)));

    for kubectl in kubectl::all() {
        let command = |line: &str| {
            let args: Vec<_> = line.split(' ').collect();
            let mut command = forward::command(&kubectl, &sandbox.kubeconfig("admin"), &args);
            // Nothing else is there that could stand in for it.
            command.env("PATH", &bin).env("HOME", home);
            command
        };
        let listed = printed(command("plugin list").output().await?)?;
        assert!(listed.contains(&*bin.join("kubectl-fwd").to_string_lossy()), "{listed}");
        let version = printed(command("fwd version").output().await?)?;
        assert!(version.starts_with(concat!("kubectl-fwd ", env!("CARGO_PKG_VERSION"), " (")), "{version}");
        let mut forward = Forward::spawn(command("fwd svc/api :80"))?;
        let pod = load::get(forward.port().await?, "/").await?;
        assert!(sandbox.ready_pods("default", "app=api")?.contains(&pod), "{pod}");
        assert_eq!(forward.end("INT").await?.code, Some(0));
    }
    sandbox.stop().await;
    Ok(())
}

/// The sums that are committed before there is a release fit nothing.
#[tokio::test]
async fn not_what_the_manifest_does_not_know() -> Result<(), Failure> {
    let sandbox = Sandbox::start(Options::default()).await?;
    let home = sandbox.directory();
    let archive = archive(&home.join("dist"))?;
    let committed = krew::parse("fwd", &read("plugin.yaml")).map_err(|wrong| wrong.join("\n"))?;
    let refused = install(&home.join("krew"), &committed, &archive).unwrap_err();
    assert!(refused.to_string().starts_with("checksum does not match"), "{refused}");
    assert!(!home.join("krew").exists());

    let stranger = home.join("kubectl-fwd_v0.1.0_plan9_amd64.tar.gz");
    fs::copy(&archive, &stranger)?;
    for (args, complaint) in [
        (
            [stranger.as_path()].as_slice(),
            "plugin.yaml has no platform for kubectl-fwd_v0.1.0_plan9_amd64.tar.gz",
        ),
        (&[Path::new("--all"), &archive], "no archive kubectl-fwd_v0.1.0_windows_amd64.zip"),
        (&[&home.join("nothing.tar.gz")], "no file"),
        (&[], "which archives?"),
    ] {
        let error = printed(script("krew-manifest", args)).unwrap_err().to_string();
        assert!(error.contains(complaint), "{error}");
    }
    sandbox.stop().await;
    Ok(())
}
