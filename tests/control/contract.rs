//! docs/CONTROL.md: its examples are sent, and what comes back is what it says.

use serde_json::Value;

use sandbox::support::{Failure, Test, World};

const DOCUMENT: &str = include_str!("../../docs/CONTROL.md");

/// Stands for anything in the document, and in the comparison.
const ANY: &str = "<ANY>";
/// Stands for the id of the forward that was started last.
const ID: &str = "<ID>";

/// The lines of all examples, in order.
fn examples() -> Vec<&'static str> {
    let blocks = DOCUMENT.split("```jsonrpc\n").skip(1);
    blocks.flat_map(|block| block.split("```").next().unwrap_or_default().lines()).collect()
}

/// Like `expected`, but with what differs from run to run; ids are learnt.
fn matches(expected: &Value, found: &Value, id: &mut Option<String>) -> bool {
    match (expected, found) {
        (Value::String(any), _) if any == ANY => true,
        (Value::String(any), Value::String(found)) if any == ID => {
            let known = id.get_or_insert_with(|| found.clone());
            known == found
        }
        (Value::Object(expected), Value::Object(found)) => {
            expected.len() == found.len()
                && expected
                    .iter()
                    .all(|(key, value)| found.get(key).is_some_and(|found| matches(value, found, id)))
        }
        (Value::Array(expected), Value::Array(found)) => {
            expected.len() == found.len() && expected.iter().zip(found).all(|(e, f)| matches(e, f, id))
        }
        _ => expected == found,
    }
}

fn parse(text: &str) -> Result<Value, Failure> {
    let quoted = text.replace(ANY, &format!("{ANY:?}")).replace(ID, &format!("{ID:?}"));
    serde_json::from_str(&quoted).map_err(|error| format!("{text}: {error}").into())
}

#[tokio::test]
async fn the_examples_are_real() -> Test {
    let world = World::new(crate::PROGRAM).await?;
    let (_serve, mut client) = world.served().await?;
    let lines = examples();
    assert!(lines.len() > 20, "the examples are gone");
    let mut id: Option<String> = None;
    for line in lines {
        if let Some(request) = line.strip_prefix("--> ") {
            if request.contains("portforward:start") {
                id = None;
            }
            let known = id.as_ref().map_or(request.to_owned(), |id| request.replace(ID, &format!("{id:?}")));
            client.say(&known).await?;
        } else if let Some(answer) = line.strip_prefix("<-- ") {
            let expected = parse(answer)?;
            let found =
                client.next().await?.ok_or_else(|| format!("the connection ended instead of {expected}"))?;
            assert!(matches(&expected, &found, &mut id), "expected {expected}\nfound    {found}");
        } else {
            return Err(format!("neither sent nor received: {line}").into());
        }
    }
    Ok(())
}

/// Every method and every event has its place in the document.
#[test]
fn nothing_is_left_out() {
    use kubectl_fwd::control::methods::names;
    for name in [
        names::START,
        names::STOP,
        names::STOP_ALL,
        names::LIST,
        names::RECONNECT,
        names::RETARGET,
        names::PODS,
        names::SUBSCRIBE,
        names::EVENT,
        names::VERSION,
    ] {
        assert!(
            DOCUMENT.contains(&format!("`{name}`")) || DOCUMENT.contains(&format!("\"{name}\"")),
            "{name}"
        );
    }
}
