//! The fuzz targets' properties on random input: a little of it, from a fixed seed, in every test run.

#![allow(clippy::unwrap_used, reason = "a test's helper fails as its test does")]

mod properties;
mod seeds;
#[path = "../wire/transcripts.rs"]
mod transcripts;

use fastrand::Rng;

/// Inputs a property: a second or so in a debug build.
const INPUTS: usize = 3000;

const LONGEST: usize = 600;

/// A seed with a few of its bytes changed, lost, doubled or mixed with another's; or noise.
fn input(random: &mut Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    if random.u8(..) < 32 {
        return (0..random.usize(..LONGEST)).map(|_| random.u8(..)).collect();
    }
    let mut bytes = seeds[random.usize(..seeds.len())].clone();
    bytes.truncate(random.usize(..=LONGEST));
    for _ in 0..random.usize(..8) {
        let at = random.usize(..=bytes.len());
        match random.u8(..5) {
            0 => bytes.insert(at, random.u8(..)),
            1 if at < bytes.len() => {
                bytes[at] = random.choice([0, 1, 127, 128, 255, b':', b'-']).unwrap_or_default();
            }
            2 if at < bytes.len() => bytes[at] ^= 1 << random.u8(..8),
            3 => bytes.truncate(at),
            _ => {
                let other = &seeds[random.usize(..seeds.len())];
                let from = random.usize(..=other.len());
                let to = (from + random.usize(..40)).min(other.len());
                bytes.splice(at..at, other[from..to].iter().copied());
            }
        }
    }
    bytes
}

fn hold(target: &str, property: fn(&[u8])) {
    let seeds = seeds::all().into_iter().find(|(name, _)| *name == target).unwrap().1;
    let mut random = Rng::with_seed(0x5eed);
    for seed in &seeds {
        property(seed);
    }
    for _ in 0..INPUTS {
        property(&input(&mut random, &seeds));
    }
}

#[test]
fn spdy_decoder() {
    hold("spdy_decoder", properties::spdy_decoder);
}

#[test]
fn websocket_decoder() {
    hold("websocket_decoder", properties::websocket_decoder);
}

#[test]
fn spdy_session() {
    hold("spdy_session", properties::spdy_session);
}

#[test]
fn command_line() {
    hold("command_line", properties::command_line);
}

#[test]
fn grammar() {
    hold("grammar", properties::grammar);
}

#[test]
fn sets_file() {
    hold("sets_file", properties::sets_file);
}

#[test]
fn kubeconfig() {
    hold("kubeconfig", properties::kubeconfig);
}

#[test]
fn rpc_message() {
    hold("rpc_message", properties::rpc_message);
}

#[test]
fn upgrade_answer() {
    hold("upgrade_answer", properties::upgrade_answer);
}

#[test]
fn placeholder() {
    hold("placeholder", properties::placeholder);
}
