//! Pure functions from points to fewer points. Slabs, archives and clocks are elsewhere.

mod window;

pub use window::{Window, write_points};
