//! How any role is reached over HTTP: sockets with a bound on connections ([`doors`]), what a connection may take its time with
//! ([`listen`]), who may come in ([`gate`], [`names`]), and what is said when file descriptors run out ([`descriptors`]).
//!
//! Start at [`listen::listen`].

pub mod descriptors;
pub mod doors;
pub mod gate;
pub mod listen;
pub mod names;
