//! The methods, by name: what other programs build on (docs/CONTROL.md). None is renamed, none loses a field.

use std::sync::Arc;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use tokio::sync::broadcast;

use super::rpc::{self, RpcError, codes};
use crate::{
    error::Fatal,
    forward::{
        ForwardOptions, ForwardRequest, ForwardSpec, GRACE,
        registry::{Registry, SELECTOR, TOO_MANY, UNKNOWN_ID},
    },
    input::{
        address::addresses,
        label::label,
        retry::retry_mode,
        target::{object_name, selector, target},
    },
    model::{
        event::Event,
        forward::ForwardId,
        message,
        ports::{LocalPort, PortSpec, RemotePort},
    },
    policy::nearest::nearest,
};

/// The version of methods, fields and events. It grows when something is added.
pub const PROTOCOL: u32 = 1;

/// Characters that are quoted of what was sent.
const QUOTED: usize = 64;

/// Names of methods, and of the notification.
pub mod names {
    /// Starts a forward.
    pub const START: &str = "portforward:start";
    /// Stops one.
    pub const STOP: &str = "portforward:stop";
    /// Stops all of the process.
    pub const STOP_ALL: &str = "portforward:stopAll";
    /// Tells all of the process.
    pub const LIST: &str = "portforward:list";
    /// Reaches a forward's pod anew.
    pub const RECONNECT: &str = "portforward:reconnect";
    /// Sends new connections to another pod.
    pub const RETARGET: &str = "portforward:retarget";
    /// Tells the pods of a forward's target.
    pub const PODS: &str = "portforward:pods";
    /// Asks for events.
    pub const SUBSCRIBE: &str = "portforward:subscribe";
    /// An event.
    pub const EVENT: &str = "portforward:event";
    /// Tells the version.
    pub const VERSION: &str = "rpc:version";
}

const ALL: [&str; 9] = [
    names::START,
    names::STOP,
    names::STOP_ALL,
    names::LIST,
    names::RECONNECT,
    names::RETARGET,
    names::PODS,
    names::SUBSCRIBE,
    names::VERSION,
];

/// Events from now on.
pub(super) type Subscription = broadcast::Receiver<Arc<Event>>;

/// What a method came to.
pub(super) enum MethodResult {
    Result(Value),
    Subscribed(Subscription),
}

/// The methods of a process.
pub(super) struct Methods {
    pub registry: Registry,
}

/// `portforward:start`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StartParams {
    resource_type: String,
    name: String,
    #[serde(default)]
    namespace: Option<String>,
    /// Null or 0 is any free one.
    #[serde(default)]
    local_port: Option<Value>,
    remote_port: Value,
    #[serde(default)]
    context: Option<String>,
    #[serde(default)]
    address: Option<String>,
    #[serde(default)]
    label: Option<String>,
    #[serde(default)]
    allow_unready: Option<bool>,
    #[serde(default)]
    replace: Option<bool>,
    #[serde(default)]
    retry: Option<String>,
}

/// Those that are about one forward.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IdParams {
    id: String,
}

/// `portforward:retarget`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RetargetParams {
    id: String,
    #[serde(default)]
    pod: Option<String>,
}

/// Those that take nothing.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoParams {}

impl Methods {
    pub(super) async fn call(
        &self,
        method: &str,
        params: Map<String, Value>,
    ) -> Result<MethodResult, RpcError> {
        let result = match method {
            names::START => json!(self.start(read(method, params)?).await?),
            names::STOP => self.stop(read(method, params)?).await?,
            names::STOP_ALL => {
                let NoParams {} = read(method, params)?;
                json!(self.registry.stop_all(GRACE).await)
            }
            names::LIST => {
                let NoParams {} = read(method, params)?;
                json!(self.registry.list())
            }
            names::RECONNECT => {
                let IdParams { id } = read(method, params)?;
                let done = self.registry.reconnect(self.id(&id)?).await;
                json!(done.map_err(|fatal| self.refusal(&id, fatal))?)
            }
            names::RETARGET => {
                let RetargetParams { id, pod } = read(method, params)?;
                let done = self.registry.retarget(self.id(&id)?, pod).await;
                json!(done.map_err(|fatal| self.refusal(&id, fatal))?)
            }
            names::PODS => {
                let IdParams { id } = read(method, params)?;
                json!(self.registry.pods(self.id(&id)?).map_err(|fatal| self.refusal(&id, fatal))?)
            }
            names::SUBSCRIBE => {
                let NoParams {} = read(method, params)?;
                return Ok(MethodResult::Subscribed(self.registry.events()));
            }
            names::VERSION => {
                let NoParams {} = read(method, params)?;
                json!({ "protocol": PROTOCOL, "version": env!("CARGO_PKG_VERSION"), "pid": std::process::id() })
            }
            unknown => return Err(no_method(unknown)),
        };
        Ok(MethodResult::Result(result))
    }

    async fn start(&self, start: StartParams) -> Result<ForwardId, RpcError> {
        let wanted = wanted(start)?;
        let ids = self.registry.start(vec![wanted]).await.map_err(|fatal| match fatal.code() {
            TOO_MANY => RpcError { code: codes::TOO_MANY, ..RpcError::from(fatal) },
            _ => RpcError::from(fatal),
        })?;
        ids.first().copied().ok_or_else(|| RpcError::new(codes::FAILED, "nothing was started"))
    }

    async fn stop(&self, IdParams { id }: IdParams) -> Result<Value, RpcError> {
        let done = self.registry.stop(&[self.id(&id)?], GRACE).await;
        done.map(|()| Value::Null).map_err(|_| self.unknown(&id))
    }

    fn id(&self, id: &str) -> Result<ForwardId, RpcError> {
        id.parse().map_err(|_| self.unknown(id))
    }

    fn unknown(&self, id: &str) -> RpcError {
        let id: String = id.chars().take(QUOTED).collect();
        let error = RpcError::new(codes::UNKNOWN_ID, format!("no forward of this process has the id '{id}'"));
        let ids: Vec<_> = self.registry.list().iter().map(|one| one.id.to_string()).collect();
        let help = match nearest(&id, ids.iter().map(String::as_str)) {
            Some(near) => format!("did you mean '{near}'?"),
            None => format!("call '{}' to see them", names::LIST),
        };
        error.help(UNKNOWN_ID, help)
    }

    /// Why a forward does not do as it is told.
    fn refusal(&self, id: &str, fatal: Fatal) -> RpcError {
        if fatal.code() == UNKNOWN_ID { self.unknown(id) } else { RpcError::from(fatal) }
    }
}

/// Reads what is to be started, as `portforward:start` is given it.
pub fn read_start(params: Map<String, Value>) -> Result<ForwardSpec, RpcError> {
    wanted(read(names::START, params)?)
}

/// Checks what is to be started.
fn wanted(start: StartParams) -> Result<ForwardSpec, RpcError> {
    let mut target = if start.resource_type == SELECTOR {
        selector(&start.name).map_err(bad_params)?
    } else {
        // One word for both, so that neither can smuggle a slash into the other.
        if let Some(part) = [&start.resource_type, &start.name].into_iter().find(|part| part.contains('/')) {
            return Err(bad(
                "bad_target",
                format!("'{part}' holds a slash"),
                "'resource_type' is a word like 'service', 'name' an object's name",
            ));
        }
        target(&format!("{}/{}", start.resource_type, start.name)).map_err(bad_params)?
    };
    if let Some(namespace) = start.namespace.filter(|namespace| !namespace.is_empty()) {
        object_name("namespace", &namespace).map_err(bad_params)?;
        target.namespace = Some(namespace);
    }
    let allow_unready = start.allow_unready.unwrap_or_default();
    let replace = start.replace.unwrap_or_default();
    let mut options = ForwardOptions { allow_unready, replace, ..ForwardOptions::default() };
    if let Some(mode) = &start.retry {
        options.retry = retry_mode(mode).map_err(bad_params)?;
    }
    if let Some(address) = &start.address {
        options.addresses = addresses(std::slice::from_ref(address)).map_err(bad_params)?;
    }
    let label = start.label.as_deref().map(label).transpose().map_err(bad_params)?;
    let local = match &start.local_port {
        None | Some(Value::Null) => LocalPort::Any,
        Some(Value::Number(zero)) if zero.as_u64() == Some(0) => LocalPort::Any,
        Some(port) => LocalPort::Number(number("local_port", port)?),
    };
    let remote = match &start.remote_port {
        Value::String(name) => match PortSpec::parse(name) {
            Ok(PortSpec { address: None, local: LocalPort::Same, remote }) => remote,
            _ => return Err(bad("bad_port", format!("'remote_port' cannot be '{name}'"), PORTS)),
        },
        port => RemotePort::Number(number("remote_port", port)?),
    };
    let ports = vec![PortSpec { address: None, local, remote }];
    let request = ForwardRequest { target, ports };
    Ok(ForwardSpec { request, options, context: start.context, label, origin: None })
}

const PORTS: &str = "ports are numbers from 1 to 65535; 'remote_port' may be the name of a port, 'local_port' null for any free one";

/// An event as it is told to subscribers: once for each forward that it is about.
pub(super) fn notifications(event: &Event) -> Vec<Value> {
    message::of(event).iter().map(|told| rpc::notification(names::EVENT, told)).collect()
}

fn read<T: DeserializeOwned>(method: &str, params: Map<String, Value>) -> Result<T, RpcError> {
    serde_json::from_value(Value::Object(params)).map_err(|error| {
        bad("params", format!("'{method}': {error}"), "docs/CONTROL.md describes each method")
    })
}

fn bad(word: &str, message: String, help: &str) -> RpcError {
    RpcError::new(codes::INVALID_PARAMS, message).help(&format!("fwd::usage::{word}"), help)
}

/// Bad input is the client's error, in whichever words.
fn bad_params(fatal: Fatal) -> RpcError {
    RpcError { code: codes::INVALID_PARAMS, ..RpcError::from(fatal) }
}

fn number(field: &str, port: &Value) -> Result<u16, RpcError> {
    port.as_u64()
        .and_then(|port| u16::try_from(port).ok())
        .filter(|port| *port > 0)
        .ok_or_else(|| bad("bad_port", format!("'{field}' cannot be {port}"), PORTS))
}

fn no_method(unknown: &str) -> RpcError {
    // As much of it as a person would look at.
    let unknown: String = unknown.chars().take(QUOTED).collect();
    let help = match nearest(&unknown, ALL) {
        Some(near) => format!("did you mean '{near}'?"),
        None => format!("there are {}", ALL.join(", ")),
    };
    RpcError::new(codes::METHOD_NOT_FOUND, format!("there is no method '{unknown}'"))
        .help("fwd::control::method", help)
}
