//! What is written to, whatever the format.

use super::families::Family;
use rondo_shm_layout::Labels;
use std::io;

/// A format.
pub(super) trait Sink {
    /// The series that follow are of this family, and all of it.
    fn family(&mut self, family: &Family) -> io::Result<()>;

    /// A series with samples in order of time: milliseconds since the Unix epoch, and values that are not NaN. It does
    /// not come again.
    fn series(&mut self, labels: &Labels, samples: &[(i64, f64)]) -> io::Result<()>;

    /// There is no more.
    fn finish(&mut self) -> io::Result<()>;
}
