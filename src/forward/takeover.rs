//! Local addresses that are taken: by which forwards of the same user, in whichever process, and how these give them up.

use std::{net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::{task::spawn_blocking, time::timeout};

use super::conflict::{self, BindFailure};
use crate::{
    error::Fatal,
    model::{
        forward::PortForward,
        ports::{Address, ListenIp, ip_covers},
    },
};

/// How long the look for a port's holder may take. The system tells at once; a process that hangs in it may hold up
/// each that asks about it.
const LOOK_WITHIN: Duration = Duration::from_secs(2);

/// The forwards of this user, in whichever process they run: what can tell of them and stop them.
pub trait UserForwards: Send + Sync {
    /// Those that answer.
    fn list(&self) -> BoxFuture<'_, Vec<PortForward>>;

    /// Stops these: none accepts any more when it returns.
    fn stop<'a>(&'a self, forwards: &'a [PortForward]) -> BoxFuture<'a, Result<(), Fatal>>;
}

/// What becomes of a local address that another forward of the user has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holding {
    /// It is an error.
    Respect,
    /// That forward is stopped, if the rest of the start can be.
    End,
}

/// A local address that was wanted and is taken.
pub(super) struct AddressConflict {
    pub taken: TakenAddress,
    pub holding: Holding,
    /// Where it was asked for.
    pub origin: Option<String>,
}

/// Where somebody listens already.
#[derive(Debug)]
pub(super) enum TakenAddress {
    /// On some of these IPs.
    Tcp { failure: BindFailure, ips: Vec<ListenIp> },
    /// At a path.
    #[cfg_attr(not(unix), expect(dead_code, reason = "this system's runtime has no Unix sockets"))]
    Unix { path: PathBuf, why: Fatal },
}

/// Has every address given up by the forwards that hold them. Nothing is stopped where somebody else holds one.
pub(super) async fn release(
    forwards: Option<&Arc<dyn UserForwards>>,
    conflicts: Vec<AddressConflict>,
) -> Result<(), Fatal> {
    let all = match forwards {
        Some(forwards) => forwards.list().await,
        None => Vec::new(),
    };
    let mut holders: Vec<PortForward> = Vec::new();
    for AddressConflict { taken, holding, origin } in conflicts {
        let own: Vec<_> = all.iter().filter(|one| taken.is_held_by(one)).cloned().collect();
        let refusal = match (own.first(), holding) {
            (None, _) => taken.explain().await,
            (Some(holder), Holding::Respect) => taken.explain_held(holder.clone()).await,
            (Some(_), Holding::End) if taken.has_others(&own).await => taken.explain().await,
            (Some(_), Holding::End) => {
                holders.extend(own);
                continue;
            }
        };
        return Err(refusal.asked_by(origin.as_deref()));
    }
    holders.sort_by_key(|one| one.id);
    holders.dedup_by_key(|one| one.id);
    match forwards {
        Some(forwards) => forwards.stop(&holders).await,
        None => Ok(()),
    }
}

impl TakenAddress {
    /// Whether this forward listens on some of it.
    fn is_held_by(&self, forward: &PortForward) -> bool {
        match self {
            Self::Unix { path, .. } => forward.local.as_deref() == Some(&format!("unix:{}", path.display())),
            Self::Tcp { failure: (address, _), ips } => {
                let theirs: Vec<IpAddr> = forward
                    .address
                    .split(',')
                    .filter_map(|text| Address::parse(text).ok())
                    .flat_map(Address::ips)
                    .collect();
                let overlap = |one: IpAddr, other: IpAddr| ip_covers(one, other) || ip_covers(other, one);
                forward.local_port == Some(address.port())
                    && ips.iter().any(|own| theirs.iter().any(|their| overlap(own.ip, *their)))
            }
        }
    }

    /// Whether other processes than those of `own` listen there too, as far as the system tells.
    async fn has_others(&self, own: &[PortForward]) -> bool {
        let Self::Tcp { failure: (address, _), ips } = self else { return false };
        let (port, ips) = (address.port(), ips.clone());
        let look = spawn_blocking(move || conflict::holders(port, &ips));
        let found = match timeout(LOOK_WITHIN, look).await {
            Ok(Ok(found)) => found,
            _ => Vec::new(),
        };
        // This process, where it is none of its forwards, holds it for the start that is under way.
        found.iter().any(|pid| !own.iter().any(|one| one.pid == *pid))
    }

    /// The error for it. To find the holder takes a look at every process, for milliseconds in which connections of other
    /// forwards go on.
    pub(super) async fn explain(self) -> Fatal {
        match self {
            Self::Unix { why, .. } => why,
            Self::Tcp { failure, ips } => explain(failure, ips).await,
        }
    }

    /// The error for it, where a forward of the user has it.
    async fn explain_held(self, holder: PortForward) -> Fatal {
        match self {
            Self::Unix { path, .. } => conflict::held(&path.display().to_string(), &holder, None),
            Self::Tcp { failure: (address, _), ips } => {
                let port = address.port();
                let look = spawn_blocking(move || conflict::nearest_free(&ips, port));
                let free = timeout(LOOK_WITHIN, look).await.ok().and_then(Result::ok).flatten();
                conflict::held(&format!("local port {port}"), &holder, free)
            }
        }
    }
}

/// The error for an address that could not be bound.
pub(super) async fn explain((address, error): BindFailure, ips: Vec<ListenIp>) -> Fatal {
    let kind = error.kind();
    let look = spawn_blocking(move || conflict::explain(address, &error, &ips));
    match timeout(LOOK_WITHIN, look).await {
        Ok(Ok(explained)) => explained,
        _ => conflict::unexplained(address, &kind.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::{io, net::SocketAddr};

    use super::*;
    use crate::model::{forward::ForwardId, ports::RemotePort};

    /// Forwards that are told and stopped without any process.
    struct Told {
        all: Vec<PortForward>,
        stopped: parking_lot::Mutex<Vec<ForwardId>>,
    }

    impl UserForwards for Told {
        fn list(&self) -> BoxFuture<'_, Vec<PortForward>> {
            Box::pin(async { self.all.clone() })
        }

        fn stop<'a>(&'a self, forwards: &'a [PortForward]) -> BoxFuture<'a, Result<(), Fatal>> {
            Box::pin(async {
                self.stopped.lock().extend(forwards.iter().map(|one| one.id));
                Ok(())
            })
        }
    }

    fn forward(id: u64, address: &str, port: u16) -> PortForward {
        PortForward {
            id: ForwardId::from_bits(id),
            address: address.into(),
            local_port: Some(port),
            target: "svc/api".into(),
            ..PortForward::example("service", "api", RemotePort::Number(80))
        }
    }

    fn conflict(at: &str, holding: Holding) -> AddressConflict {
        let address: SocketAddr = at.parse().unwrap();
        let ips = vec![ListenIp { ip: address.ip(), optional: false }];
        let taken = TakenAddress::Tcp { failure: (address, io::ErrorKind::AddrInUse.into()), ips };
        AddressConflict { taken, holding, origin: Some("fwd.yaml:3".into()) }
    }

    #[test]
    fn whose_it_is() {
        for (at, address, port, held) in [
            ("127.0.0.1:8080", "localhost", 8080, true),
            ("127.0.0.1:8080", "localhost", 8081, false),
            ("127.0.0.1:8080", "127.0.0.2", 8080, false),
            ("127.0.0.1:8080", "127.0.0.2,0.0.0.0", 8080, true),
            ("0.0.0.0:8080", "127.0.0.2", 8080, true),
            ("[::1]:8080", "0.0.0.0", 8080, false),
            ("[::1]:8080", "localhost", 8080, true),
        ] {
            let told = conflict(at, Holding::End).taken.is_held_by(&forward(1, address, port));
            assert_eq!(told, held, "{at} {address}:{port}");
        }
    }

    /// Nothing is stopped for a start that cannot be: one address of two is somebody else's.
    #[tokio::test]
    async fn all_or_none() {
        // No process listens there, so the system tells of no other holder.
        let told =
            Arc::new(Told { all: vec![forward(1, "localhost", 9)], stopped: parking_lot::Mutex::default() });
        let forwards: Arc<dyn UserForwards> = Arc::clone(&told) as _;
        let ours = || conflict("127.0.0.1:9", Holding::End);
        let both = vec![ours(), conflict("127.0.0.1:10", Holding::End)];
        let refused = release(Some(&forwards), both).await.unwrap_err();
        assert_eq!(refused.to_string(), "local port 10 is taken (127.0.0.1:10)");
        assert_eq!(refused.causes().last(), Some("fwd.yaml:3 asks for it"));
        assert!(told.stopped.lock().is_empty());
        let kept =
            release(Some(&forwards), vec![conflict("127.0.0.1:9", Holding::Respect)]).await.unwrap_err();
        let help = kept.advice().unwrap_or_default().to_owned();
        assert!(help.contains("kubectl fwd stop baaaaa") && help.contains("--replace"), "{help}");
        assert!(kept.causes().next().is_some_and(|why| why.starts_with("svc/api:80 (")), "{kept:?}");
        assert!(told.stopped.lock().is_empty());
        release(Some(&forwards), vec![ours(), ours()]).await.unwrap();
        assert_eq!(*told.stopped.lock(), [ForwardId::from_bits(1)]);
    }
}
