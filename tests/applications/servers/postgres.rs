//! PostgreSQL, which takes TLS.

use std::path::PathBuf;

use rustix::process::Signal;
use sandbox::support::Failure;
use tokio::process::Command;

use super::{Directory, Server};
use crate::programs;
use crate::running::run;

/// A server without passwords, and the clients' programs.
pub(crate) struct Postgres {
    pub(crate) server: Server,
    psql: PathBuf,
    pgbench: PathBuf,
    pg_dump: PathBuf,
}

impl Postgres {
    /// None where a program is missing.
    pub(crate) async fn start() -> Result<Option<Self>, Failure> {
        let names = ["initdb", "postgres", "psql", "pgbench", "pg_dump"];
        let Some([initdb, postgres, psql, pgbench, pg_dump]) = programs::find(names) else { return Ok(None) };
        let directory = Directory::new("postgres")?;
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        directory.write("server.crt", own.cert.pem())?;
        directory.write("server.key", own.signing_key.serialize_pem())?;
        let mut init = directory.command(&initdb);
        init.args(["-D", "data", "-U", "app", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"]);
        run(&mut init).await?;
        // SIGQUIT: it ends at once, with nothing to write.
        let server = Server::start(directory, Signal::QUIT, |directory, port| {
            let mut command = directory.command(&postgres);
            command.arg("-D").arg(directory.path("data"));
            let file = |name: &str, file: &str| format!("{name}={}", directory.path(file).display());
            let settings = [
                format!("port={port}"),
                "listen_addresses=127.0.0.1".to_owned(),
                "unix_socket_directories=".to_owned(),
                // Nothing is kept.
                "fsync=off".to_owned(),
                "ssl=on".to_owned(),
                file("ssl_cert_file", "server.crt"),
                file("ssl_key_file", "server.key"),
            ];
            for setting in settings {
                command.args(["-c", &setting]);
            }
            Ok(command)
        });
        Ok(Some(Self { server: server.await?, psql, pgbench, pg_dump }))
    }

    /// A client's command, for the server behind a local port. It takes no other server than this, and nothing but TLS.
    fn client(&self, program: &PathBuf, port: u16) -> Command {
        let mut command = Command::new(program);
        let settings = [
            ("PGHOST", "localhost"),
            ("PGHOSTADDR", "127.0.0.1"),
            ("PGUSER", "app"),
            ("PGDATABASE", "postgres"),
            ("PGSSLMODE", "verify-full"),
            ("PGCONNECT_TIMEOUT", "30"),
        ];
        command.envs(settings).env("PGPORT", port.to_string());
        command.env("PGSSLROOTCERT", self.server.directory.path("server.crt"));
        command
    }

    /// `psql`, without what people have in their ~/.psqlrc, unaligned, up to the first error.
    pub(crate) fn psql(&self, port: u16) -> Command {
        let mut command = self.client(&self.psql, port);
        command.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1"]);
        command
    }

    /// `pgbench` with these words.
    pub(crate) fn pgbench(&self, port: u16, words: &str) -> Command {
        let mut command = self.client(&self.pgbench, port);
        command.args(words.split_whitespace());
        command
    }

    pub(crate) fn pg_dump(&self, port: u16) -> Command {
        self.client(&self.pg_dump, port)
    }
}
