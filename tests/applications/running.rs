//! Clients that are run, to their end or for a while.

use std::process::{Output, Stdio};
use std::str::FromStr;

use sandbox::support::{Failure, Test, within};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

/// All that a client wrote to stdout, if it succeeded.
pub(crate) async fn run(command: &mut Command) -> Result<String, Failure> {
    Ok(String::from_utf8(run_with(command, Vec::new()).await?)?)
}

/// The same with something on its stdin, as bytes.
pub(crate) async fn run_with(command: &mut Command, input: Vec<u8>) -> Result<Vec<u8>, Failure> {
    let what = command.as_std().get_program().to_string_lossy().into_owned();
    let mut child = begin(command)?;
    let stdin = child.stdin.take();
    let write = tokio::spawn(async move {
        // A client that ends without having read it all says why itself.
        if let Some(mut stdin) = stdin {
            let _ = stdin.write_all(&input).await;
        }
    });
    let output = within(&what, child.wait_with_output()).await??;
    write.await?;
    succeeded(&what, output)
}

/// What a client that was begun wrote by its end.
pub(crate) async fn end(what: &str, child: Child) -> Result<String, Failure> {
    let output = within(what, child.wait_with_output()).await??;
    Ok(String::from_utf8(succeeded(what, output)?)?)
}

/// Starts a client that goes on.
pub(crate) fn begin(command: &mut Command) -> Result<Child, Failure> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    Ok(command.spawn()?)
}

fn succeeded(what: &str, output: Output) -> Result<Vec<u8>, Failure> {
    let Output { status, stdout, stderr } = output;
    if !status.success() {
        let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        return Err(format!("{what}: {status}\n--- stdout\n{stdout}--- stderr\n{stderr}---").into());
    }
    Ok(stdout)
}

/// A client with which one talks, a line at a time.
pub(crate) struct Dialogue {
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    stderr: ChildStderr,
    /// Dropping it kills it.
    _child: Child,
}

impl Dialogue {
    pub(crate) fn begin(command: &mut Command) -> Result<Self, Failure> {
        let mut child = begin(command)?;
        let stdin = child.stdin.take().ok_or("no stdin")?;
        let stdout = child.stdout.take().map(BufReader::new).ok_or("no stdout")?;
        let stderr = child.stderr.take().ok_or("no stderr")?;
        Ok(Self { stdin, stdout, stderr, _child: child })
    }

    pub(crate) async fn say(&mut self, line: &str) -> Test {
        Ok(self.stdin.write_all(format!("{line}\n").as_bytes()).await?)
    }

    /// The next line of its stdout.
    pub(crate) async fn line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        let read = within("a line of a client", self.stdout.read_line(&mut line)).await??;
        if read == 0 {
            let mut why = String::new();
            within("why a client ended", self.stderr.read_to_string(&mut why)).await??;
            return Err(format!("the client ended: {why}").into());
        }
        line.truncate(line.trim_end().len());
        Ok(line)
    }

    /// The next line that contains this.
    pub(crate) async fn until(&mut self, what: &str) -> Result<String, Failure> {
        loop {
            let line = self.line().await?;
            if line.contains(what) {
                return Ok(line);
            }
        }
    }
}

/// The number behind `label`, as reports have it.
pub(crate) fn number<T: FromStr>(report: &str, label: &str) -> Result<T, Failure> {
    let rest = report.split(label).nth(1).ok_or_else(|| format!("no {label:?} in:\n{report}"))?;
    let digits = rest.trim_start().split(|c: char| !c.is_ascii_digit() && c != '.').next();
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| format!("no number: {rest}").into())
}
