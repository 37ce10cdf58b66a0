//! Benchmarks of whole processes beside each other on one host, and what they have in common.
//!
//! | module | what it has |
//! |---|---|
//! | [`ephemeral`] | benchmark C: machines that live for seconds |
//! | [`figures`] | medians, and tables in Markdown |
//! | [`group`] | processes that are started and measured together |
//! | [`host`] | benchmark B |
//! | [`load`] | what else the machine did |
//! | [`machine`] | the machine, in a sentence |
//! | [`network`] | a network of one's own, and what its loopback carries |
//! | [`output`] | where figures go |
//! | [`plot`] | plots for pages |
//! | [`printed`] | what a command printed, as a part of a page |
//! | [`usage`] | CPU time, memory, disk and wake-ups of processes |
//! | [`workload`] | what a machine records |
//!
//! Real servers are in [`rondo_tests::servers`], and the parts of pages that benchmarks write in [`rondo_tests::marked`].

#![forbid(unsafe_code)]

pub mod ephemeral;
pub mod figures;
pub mod group;
pub mod host;
pub mod load;
pub mod machine;
pub mod network;
pub mod output;
pub mod plot;
pub mod printed;
pub mod usage;
pub mod workload;
