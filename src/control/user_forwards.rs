//! The forwards of this user in all processes, for a start that finds a local port taken.

use futures_util::future::BoxFuture;
use serde_json::json;

use super::{
    client::{CallError, call, call_all, no_answer},
    methods::names,
    rpc::codes,
    sockets::SocketDirectories,
};
use crate::{error::Fatal, forward::takeover::UserForwards, model::forward::PortForward};

/// Those whose processes answer on their control sockets.
pub struct ControlledForwards {
    directories: SocketDirectories,
}

impl ControlledForwards {
    /// Those of the sockets in these directories.
    pub fn new(directories: SocketDirectories) -> Self {
        Self { directories }
    }

    async fn stop_all(&self, forwards: &[PortForward]) -> Result<(), Fatal> {
        let (sockets, _) = self.directories.sockets();
        for socket in &sockets {
            let own = forwards.iter().filter(|one| one.pid == socket.pid);
            let requests: Vec<_> = own.map(|one| (names::STOP, json!({ "id": one.id }))).collect();
            if requests.is_empty() {
                continue;
            }
            // Answers are missing of a process that ended meanwhile, which is as good.
            for answer in call(socket, &requests).await.unwrap_or_else(|trouble| vec![Err(trouble)]) {
                match answer {
                    Err(CallError::Refused(error)) if error.code == codes::UNKNOWN_ID => {}
                    Err(trouble) => return Err(no_answer(socket, &trouble)),
                    Ok(_) => {}
                }
            }
        }
        Ok(())
    }
}

impl UserForwards for ControlledForwards {
    fn list(&self) -> BoxFuture<'_, Vec<PortForward>> {
        Box::pin(async {
            let found = call_all::<Vec<PortForward>>(&self.directories, names::LIST).await;
            found.results.into_iter().flat_map(|(_, forwards)| forwards).collect()
        })
    }

    fn stop<'a>(&'a self, forwards: &'a [PortForward]) -> BoxFuture<'a, Result<(), Fatal>> {
        Box::pin(self.stop_all(forwards))
    }
}
