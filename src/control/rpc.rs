//! JSON-RPC 2.0 (<https://www.jsonrpc.org/specification>): messages in and out, as text. Pure.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::error::Fatal;

/// Requests in a batch. More says nothing that several batches could not.
pub const MAX_BATCH: usize = 64;

/// The specification's errors, and from -32000 down those of this program.
pub mod codes {
    /// The message is no JSON.
    pub const PARSE: i64 = -32700;
    /// It is JSON, but no request.
    pub const INVALID_REQUEST: i64 = -32600;
    /// There is no such method.
    pub const METHOD_NOT_FOUND: i64 = -32601;
    /// The method does not take these parameters.
    pub const INVALID_PARAMS: i64 = -32602;
    /// It panicked.
    pub const INTERNAL: i64 = -32603;
    /// It was understood and could not be done; `data` says why and what to do.
    pub const FAILED: i64 = -32000;
    /// No forward has this id.
    pub const UNKNOWN_ID: i64 = -32001;
    /// A limit of this process stands against it.
    pub const TOO_MANY: i64 = -32002;
}

/// What a client sent: one request or several.
#[derive(Debug, PartialEq)]
pub enum RpcMessage {
    /// One, with an answer of its own.
    Single(Result<RpcRequest, InvalidRequest>),
    /// Several, whose answers come as one.
    Batch(Vec<Result<RpcRequest, InvalidRequest>>),
}

/// A request, or a notification where it has no id.
#[derive(Debug, Clone, PartialEq)]
pub struct RpcRequest {
    /// Comes back with the answer.
    pub id: Option<Value>,
    /// What is asked for.
    pub method: String,
    /// With what.
    pub params: Map<String, Value>,
}

/// A request that is none, with the answer to it.
#[derive(Debug, Clone, PartialEq)]
pub struct InvalidRequest {
    /// None where it was a notification, which has no answer.
    id: Option<Value>,
    error: RpcError,
}

/// The error of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RpcError {
    /// One of [`codes`].
    pub code: i64,
    /// What failed, on which object.
    pub message: String,
    /// Why, and what to do.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub data: Option<Box<RpcErrorData>>,
}

/// More about an error, for programs and people.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RpcErrorData {
    /// Stable and searchable: `fwd::port::in_use`.
    pub code: String,
    /// Why, most immediate cause first.
    pub because: Vec<String>,
    /// What to do next.
    pub help: Option<String>,
}

impl RpcError {
    /// An error without more about it.
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, code: &str, help: impl Into<String>) -> Self {
        let data = RpcErrorData { code: code.to_owned(), because: Vec::new(), help: Some(help.into()) };
        self.data = Some(Box::new(data));
        self
    }
}

impl From<Fatal> for RpcError {
    fn from(fatal: Fatal) -> Self {
        let data = RpcErrorData {
            code: fatal.code().to_owned(),
            because: fatal.causes().map(ToOwned::to_owned).collect(),
            help: fatal.advice().map(ToOwned::to_owned),
        };
        Self { code: codes::FAILED, message: fatal.to_string(), data: Some(Box::new(data)) }
    }
}

/// Reads one message.
pub fn read(line: &[u8]) -> Result<RpcMessage, InvalidRequest> {
    let refuse =
        |code, message: &str| InvalidRequest { id: Some(Value::Null), error: RpcError::new(code, message) };
    match serde_json::from_slice(line) {
        Err(error) => Err(refuse(codes::PARSE, &format!("this is not JSON: {error}"))),
        Ok(Value::Array(all)) if all.is_empty() => Err(refuse(codes::INVALID_REQUEST, "the batch is empty")),
        Ok(Value::Array(all)) if all.len() > MAX_BATCH => {
            Err(refuse(codes::INVALID_REQUEST, &format!("a batch has at most {MAX_BATCH} requests")))
        }
        Ok(Value::Array(all)) => Ok(RpcMessage::Batch(all.into_iter().map(read_request).collect())),
        Ok(one) => Ok(RpcMessage::Single(read_request(one))),
    }
}

fn read_request(value: Value) -> Result<RpcRequest, InvalidRequest> {
    let Value::Object(mut object) = value else {
        let error = RpcError::new(codes::INVALID_REQUEST, "a request is an object");
        return Err(InvalidRequest { id: Some(Value::Null), error });
    };
    let id = object.remove("id");
    let usable = matches!(&id, None | Some(Value::Null | Value::String(_) | Value::Number(_)));
    let refuse = |code, message: &str| {
        let id = id.clone().filter(|_| usable);
        Err(InvalidRequest { id: id.or(Some(Value::Null)), error: RpcError::new(code, message) })
    };
    if !usable {
        return refuse(codes::INVALID_REQUEST, "'id' is a string, a number or null");
    }
    if object.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return refuse(codes::INVALID_REQUEST, "'jsonrpc' has to be \"2.0\"");
    }
    let Some(Value::String(method)) = object.remove("method") else {
        return refuse(codes::INVALID_REQUEST, "'method' has to be a string");
    };
    let params = match object.remove("params") {
        None => Map::new(),
        Some(Value::Object(params)) => params,
        Some(Value::Array(params)) if params.is_empty() => Map::new(),
        Some(Value::Array(_)) => {
            let error = RpcError::new(codes::INVALID_PARAMS, "'params' are by name: an object");
            return Err(InvalidRequest { id, error });
        }
        Some(_) => return refuse(codes::INVALID_REQUEST, "'params' has to be an object"),
    };
    Ok(RpcRequest { id, method, params })
}

/// A request to a process.
pub fn request(id: u64, method: &str, params: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })
}

/// The answer to a request. A notification has none.
pub fn answer(id: Option<Value>, outcome: Result<Value, RpcError>) -> Option<Value> {
    let id = id?;
    Some(match outcome {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(error) => json!({ "jsonrpc": "2.0", "id": id, "error": error }),
    })
}

impl InvalidRequest {
    /// The answer, unless it was a notification.
    pub fn answer(self) -> Option<Value> {
        answer(self.id, Err(self.error))
    }
}

/// Tells a client something it did not ask for just now.
pub fn notification(method: &str, params: &impl Serialize) -> Value {
    json!({ "jsonrpc": "2.0", "method": method, "params": params })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: &str) -> Value {
        match read(line.as_bytes()) {
            Ok(RpcMessage::Single(Err(refusal))) | Err(refusal) => refusal.answer().unwrap(),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn what_is_no_request() {
        for (line, code, id) in [
            ("", codes::PARSE, Value::Null),
            ("{", codes::PARSE, Value::Null),
            ("\u{1}\u{2}", codes::PARSE, Value::Null),
            ("1", codes::INVALID_REQUEST, Value::Null),
            ("null", codes::INVALID_REQUEST, Value::Null),
            ("[]", codes::INVALID_REQUEST, Value::Null),
            ("{}", codes::INVALID_REQUEST, Value::Null),
            (r#"{"id":1,"method":"x"}"#, codes::INVALID_REQUEST, json!(1)),
            (r#"{"jsonrpc":"1.0","id":1,"method":"x"}"#, codes::INVALID_REQUEST, json!(1)),
            (r#"{"jsonrpc":"2.0","id":"a"}"#, codes::INVALID_REQUEST, json!("a")),
            (r#"{"jsonrpc":"2.0","id":"a","method":1}"#, codes::INVALID_REQUEST, json!("a")),
            (r#"{"jsonrpc":"2.0","id":{},"method":"x"}"#, codes::INVALID_REQUEST, Value::Null),
            (r#"{"jsonrpc":"2.0","id":[1],"method":"x"}"#, codes::INVALID_REQUEST, Value::Null),
            (r#"{"jsonrpc":"2.0","id":2,"method":"x","params":3}"#, codes::INVALID_REQUEST, json!(2)),
            (r#"{"jsonrpc":"2.0","id":2,"method":"x","params":[3]}"#, codes::INVALID_PARAMS, json!(2)),
        ] {
            let answer = refused(line);
            assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(code), &id), "{line}");
            assert!(answer["error"]["message"].as_str().is_some_and(|text| !text.is_empty()), "{line}");
        }
        let Ok(RpcMessage::Single(Err(silent))) = read(br#"{"jsonrpc":"2.0","method":"x","params":[3]}"#)
        else {
            panic!()
        };
        assert_eq!(silent.answer(), None);
        // Deeper than anything that is meant.
        assert_eq!(refused(&"[".repeat(100_000))["error"]["code"], codes::PARSE);
        let crowd = format!("[{}1]", "1,".repeat(MAX_BATCH));
        assert_eq!(refused(&crowd)["error"]["code"], codes::INVALID_REQUEST);
    }

    #[test]
    fn requests_and_their_answers() {
        let Ok(RpcMessage::Single(Ok(request))) =
            read(br#"{"jsonrpc":"2.0","id":1.5,"method":"m","params":{"a":2}}"#)
        else {
            panic!()
        };
        assert_eq!((request.method.as_str(), &request.params["a"]), ("m", &json!(2)));
        let answered = answer(request.id, Ok(json!([])));
        assert_eq!(answered, Some(json!({ "jsonrpc": "2.0", "id": 1.5, "result": [] })));
        let failed = answer(Some(Value::Null), Err(RpcError::new(codes::FAILED, "no").help("c", "h")));
        let data = json!({ "code": "c", "because": [], "help": "h" });
        let error = json!({ "code": -32000, "message": "no", "data": data });
        assert_eq!(failed, Some(json!({ "jsonrpc": "2.0", "id": null, "error": error })));
        for params in ["", r#","params":[]"#, r#","params":{}"#] {
            let line = format!(r#"{{"jsonrpc":"2.0","method":"m"{params}}}"#);
            let Ok(RpcMessage::Single(Ok(request))) = read(line.as_bytes()) else { panic!("{line}") };
            assert!(request.params.is_empty());
            assert_eq!(answer(request.id, Ok(Value::Null)), None, "a notification has no answer");
        }
    }

    #[test]
    fn batches() {
        let Ok(RpcMessage::Batch(all)) = read(br#"[{"jsonrpc":"2.0","id":1,"method":"m"},1]"#) else {
            panic!()
        };
        assert!(matches!(all.as_slice(), [Ok(_), Err(_)]));
    }
}
