//! The properties that the fuzz targets look for a breach of; they are those of `tests/fuzzed`.

#[path = "../../tests/fuzzed/properties.rs"]
pub mod properties;
#[path = "../../tests/fuzzed/seeds.rs"]
pub mod seeds;
#[path = "../../tests/wire/transcripts.rs"]
mod transcripts;
