//! CSI beside state: controllers of plugins are asked over the sessions of the nodes that they run on ([`controller`]), and the
//! leader has what ended allocations claimed given back ([`reaper`]).

pub(crate) mod controller;
pub(crate) mod node;
pub(crate) mod reaper;
