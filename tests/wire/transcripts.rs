//! The recorded transcripts, as bytes.

use std::path::{Path, PathBuf};

use serde::Deserialize;

#[derive(Deserialize)]
struct Line {
    dir: String,
    #[serde(default)]
    hex: String,
}

/// One direction of a transcript, after the HTTP head.
#[derive(Clone)]
pub(crate) struct Side {
    /// The transcript's file.
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    /// Whether SPDY is inside a WebSocket.
    pub(crate) tunnelled: bool,
}

/// The folder, as seen from this package and from the one of the fuzz targets below it.
pub(crate) fn wire() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().map(|folder| folder.join("tests/data/wire")).find(|folder| folder.is_dir()).unwrap()
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// Every transcript's bytes in one direction. Those without an upgrade have none.
pub(crate) fn sides(direction: &str) -> Vec<Side> {
    let mut sides = Vec::new();
    for entry in std::fs::read_dir(wire()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "jsonl") {
            continue;
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let bytes: Vec<u8> = text
            .lines()
            .map(|line| serde_json::from_str::<Line>(line).unwrap())
            .filter(|line| line.dir == direction)
            .flat_map(|line| unhex(&line.hex))
            .collect();
        let head = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        let first = std::str::from_utf8(&bytes[..head]).unwrap().lines().next().unwrap();
        if direction == "s>c" && !first.contains(" 101 ") {
            continue;
        }
        sides.push(Side { tunnelled: name.contains(".tunnel."), name, bytes: bytes[head..].to_vec() });
    }
    assert!(sides.len() >= 20, "transcripts are missing: {}", sides.len());
    sides
}
