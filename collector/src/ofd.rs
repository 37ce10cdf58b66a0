//! Open-file-description locks on the first byte of a file: how slabs, and collectors, say that they live.
//!
//! The kernel drops such a lock with the last descriptor or mapping of the open file, however its process ends.

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use std::os::fd::AsFd;

/// Which lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    /// Others may hold it too. Needs a file open for reading.
    Shared,
    /// Nobody else may hold any. Needs a file open for writing.
    Exclusive,
}

impl Lock {
    fn request(self) -> libc::flock {
        libc::flock {
            l_type: match self {
                Self::Shared => libc::F_RDLCK as libc::c_short,
                Self::Exclusive => libc::F_WRLCK as libc::c_short,
            },
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: 0,
            l_len: 1,
            l_pid: 0,
        }
    }
}

/// Takes the lock; false if another's is in the way.
pub(crate) fn try_lock(file: impl AsFd, lock: Lock) -> nix::Result<bool> {
    match fcntl(file, FcntlArg::F_OFD_SETLK(&lock.request())) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Whether someone holds the exclusive lock. Takes none.
pub(crate) fn is_locked(file: impl AsFd) -> nix::Result<bool> {
    let mut request = Lock::Shared.request();
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut request))?;
    Ok(request.l_type != libc::F_UNLCK as libc::c_short)
}
