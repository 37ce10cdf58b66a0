//! The collector, and the `rondo` command.

pub mod bench;
pub mod demo;
