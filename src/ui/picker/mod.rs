//! The picker: what to forward, chosen on a full screen. It is a fold, [`state::PickerState`], over keys and what the cluster
//! tells as it arrives; it does nothing by itself, but asks for it with a [`effect::PickerEffect`].

mod choose;
pub mod draw;
pub mod effect;
pub mod entry;
pub mod keys;
mod listing;
mod press;
mod rows;
pub mod search;
pub mod state;
mod step;
mod table;
