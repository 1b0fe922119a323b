//! The panel (`kubectl fwd ui`): every forward on one screen, live, with keys and a mouse to steer them.
//!
//! [`state`] is a fold over what happens and knows no terminal; [`draw`] makes a screen of it; [`keys`] are data. What is to be
//! done comes out as [`effect::PanelEffect`] and is done in `app`.

pub(in crate::ui) mod columns;
pub mod dialog;
pub mod draw;
pub mod effect;
pub mod keys;
mod overlay;
mod press;
pub mod row;
pub mod state;
pub mod told;
