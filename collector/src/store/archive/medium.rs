//! The edge to the disk: what an archive needs of a file, so that tests can make one fail.

use nix::fcntl::posix_fallocate;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// A file of fixed size.
pub trait Medium: Send + Sync {
    /// Its size.
    ///
    /// # Errors
    /// Whatever the system says.
    fn size(&self) -> io::Result<u64>;

    /// Fills `bytes` from `offset`.
    ///
    /// # Errors
    /// Whatever the system says, and if the file ends before.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`. After an error any of it may have been written.
    ///
    /// # Errors
    /// Whatever the system says.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Returns when all that was written is on stable storage.
    ///
    /// # Errors
    /// Whatever the system says; what was written may then be lost.
    fn sync(&self) -> io::Result<()>;

    /// Makes it larger, all of it allocated; or smaller.
    ///
    /// # Errors
    /// Whatever the system says, above all that there is no room.
    fn resize(&self, size: u64) -> io::Result<()>;
}

impl Medium for File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn resize(&self, size: u64) -> io::Result<()> {
        if size < Medium::size(self)? {
            self.set_len(size)?;
        } else {
            let size = i64::try_from(size).map_err(io::Error::other)?;
            posix_fallocate(self, 0, size)?;
        }
        self.sync_all()
    }
}
