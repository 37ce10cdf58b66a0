//! How a slab goes: the one thing about it that someone other than its writer does.

use crate::error::Error;
use crate::slab::Slab;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use std::io;
use std::os::unix::fs::MetadataExt;

impl Slab {
    /// Removes the slab's file, if its writer is gone; false if it lives, or if the path is another
    /// file by now.
    ///
    /// Takes the read lock first, so that nobody can reopen the slab meanwhile, and then looks whether
    /// the path is still the locked file (section 12 of the specification). The lock is held until the slab is dropped.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn remove(&self) -> Result<bool, Error> {
        let lock = libc::flock {
            l_type: libc::F_RDLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: 0,
            l_len: 1,
            l_pid: 0,
        };
        match fcntl(self.mapping().file(), FcntlArg::F_OFD_SETLK(&lock)) {
            Ok(_) => {}
            Err(Errno::EAGAIN | Errno::EACCES) => return Ok(false),
            Err(errno) => return Err(Error::system("lock", self.path(), io::Error::from(errno))),
        }
        let at_path = std::fs::symlink_metadata(self.path());
        if !at_path.is_ok_and(|there| (there.dev(), there.ino()) == self.file_id()) {
            return Ok(false);
        }
        std::fs::remove_file(self.path()).map_err(|source| Error::system("remove", self.path(), source))?;
        Ok(true)
    }
}
