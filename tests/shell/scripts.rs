//! The scripts for the program called directly, in the shells that this machine has.

use std::fmt::Write as _;

use sandbox::support::forward;
use sandbox::support::{Failure, Test, World};
use tokio::process::Command;

use crate::{NO_LIMIT, PROGRAM, path};

/// A shell, if it is there; else that is said where it is seen.
fn shell(world: &World, name: &str) -> Result<Option<Command>, Failure> {
    let path = path(world)?;
    if !std::env::split_paths(&path).any(|directory| directory.join(name).is_file()) {
        // Not with `eprintln`: what a passing test prints so is swallowed.
        let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("SKIPPED: no {name}\n").as_bytes());
        return Ok(None);
    }
    let mut command = forward::command(std::path::Path::new(name), &world.kubeconfig(), &[] as &[&str]);
    command.env("PATH", path).env("HOME", world.sandbox.directory()).env(NO_LIMIT.0, NO_LIMIT.1);
    command.current_dir(world.sandbox.directory());
    Ok(Some(command))
}

async fn lines(mut command: Command) -> Result<Vec<String>, Failure> {
    let output = command.output().await?;
    let (stdout, stderr) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    assert_eq!(stderr, "", "{stdout}");
    let mut lines: Vec<_> = stdout.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.sort();
    Ok(lines)
}

/// bash breaks words at ':' and '='; the rows have them as it does, `|` between them.
#[tokio::test]
async fn bash() -> Test {
    let world = World::new(PROGRAM).await?;
    for (line, words, kind, expected) in [
        ("kubectl-fwd li", "kubectl-fwd|li", 9, &["list"][..]),
        ("kubectl-fwd svc/a", "kubectl-fwd|svc/a", 9, &["svc/api"]),
        ("kubectl-fwd  svc/api  h", "kubectl-fwd|svc/api|h", 9, &["http"]),
        // What is in front of the last ':' stays in the line.
        ("kubectl-fwd svc/api 8080:h", "kubectl-fwd|svc/api|8080|:|h", 9, &["http"]),
        ("kubectl-fwd svc/api 8080:", "kubectl-fwd|svc/api|8080|:", 9, &["80", "9000", "echo", "http"]),
        ("kubectl-fwd -n pro", "kubectl-fwd|-n|pro", 9, &["prod"]),
        ("kubectl-fwd --namespace=pro", "kubectl-fwd|--namespace|=|pro", 9, &["prod"]),
        ("kubectl-fwd --color=", "kubectl-fwd|--color|=", 9, &["always", "auto", "never"]),
        ("kubectl-fwd completion z", "kubectl-fwd|completion|z", 9, &["zsh"]),
        ("kubectl-fwd up --ke", "kubectl-fwd|up|--ke", 9, &["--keep-going"]),
        ("kubectl-fwd nothing-li", "kubectl-fwd|nothing-li", 9, &[]),
        // A second TAB lists them, with what they are.
        ("kubectl-fwd svc/api 80:h", "kubectl-fwd|svc/api|80|:|h", 63, &["http"]),
        ("kubectl-fwd svc/db ", "kubectl-fwd|svc/db|", 63, &[]),
    ] {
        let Some(mut bash) = shell(&world, "bash")? else { return Ok(()) };
        let words: Vec<&str> = words.split('|').collect();
        let mut script = String::from("source <(kubectl-fwd completion bash)\nCOMP_WORDS=(");
        for word in &words {
            let _ = write!(script, "'{word}' ");
        }
        let _ = write!(
            script,
            ")\nCOMP_CWORD={} COMP_LINE='{line}' COMP_POINT={} COMP_TYPE={kind} COMP_WORDBREAKS=' \t\n\"'\\''><=;|&(:'\n\
             _kubectl_fwd\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"",
            words.len() - 1,
            line.len(),
        );
        bash.args(["--noprofile", "--norc", "-c", &script]);
        let found = lines(bash).await?;
        if kind == 63 && expected.is_empty() {
            assert!(found.iter().any(|line| line == "svc/  (services)"), "{line}: {found:?}");
        } else {
            let found: Vec<_> = found.iter().filter(|line| !line.is_empty()).collect();
            assert_eq!(found, expected, "{line}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn fish() -> Test {
    let world = World::new(PROGRAM).await?;
    for (line, expected) in [
        ("kubectl-fwd li", "list\tList the forwards"),
        ("kubectl-fwd svc/a", "svc/api"),
        ("kubectl-fwd svc/api 8080:h", "8080:http\tport 80"),
        ("kubectl-fwd --namespace=pro", "--namespace=prod"),
        ("kubectl-fwd list -o w", "wide"),
    ] {
        let Some(mut fish) = shell(&world, "fish")? else { return Ok(()) };
        let script = format!("kubectl-fwd completion fish | source; complete -C '{line}'");
        fish.args(["--no-config", "-c", &script]);
        let found = lines(fish).await?;
        assert!(found.len() == 1 && found[0].starts_with(expected), "{line}: {found:?}");
    }
    Ok(())
}

/// Without a terminal zsh completes nothing, so what it has for completion is stood in for.
#[tokio::test]
async fn zsh() -> Test {
    let world = World::new(PROGRAM).await?;
    for (words, expected) in [
        ("kubectl-fwd li", "list:List the forwards"),
        ("kubectl-fwd svc/a", "svc/api"),
        ("kubectl-fwd svc/api 8080:h", "8080\\:http:port 80"),
        ("kubectl-fwd --namespace=pro", "prod"),
        ("kubectl-fwd list -o w", "wide"),
    ] {
        let Some(mut zsh) = shell(&world, "zsh")? else { return Ok(()) };
        let script = format!(
            "compdef() {{ }}; compset() {{ }}; _files() {{ print FILES }}; _describe() {{ print -rl -- $found }}\n\
             source <(kubectl-fwd completion zsh)\nwords=({words}); CURRENT=$#words; PREFIX=$words[-1]\n_kubectl_fwd"
        );
        zsh.args(["-f", "-c", &script]);
        let found = lines(zsh).await?;
        assert!(found.len() == 1 && found[0].starts_with(expected), "{words}: {found:?}");
    }
    Ok(())
}
