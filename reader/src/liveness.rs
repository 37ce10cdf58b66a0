//! Whether a slab's writer lives: it holds a lock on the file's first byte as long as it does.

use crate::error::Error;
use crate::mapping::Mapping;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use std::fmt;
use std::io;
use std::sync::OnceLock;

/// What has become of a slab's writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Liveness {
    /// It holds its lock.
    Live,
    /// It closed the slab.
    Closed,
    /// It is gone without having closed the slab: it crashed, was killed, or the host was rebooted.
    Dead,
}

impl Liveness {
    /// `live`, `closed` or `dead`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Closed => "closed",
            Self::Dead => "dead",
        }
    }
}

impl fmt::Display for Liveness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Whether anyone holds the writer's lock. One system call; takes no lock itself.
pub(crate) fn is_locked(mapping: &Mapping) -> Result<bool, Error> {
    let mut lock = libc::flock {
        l_type: libc::F_RDLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 1,
        l_pid: 0,
    };
    fcntl(mapping.file(), FcntlArg::F_OFD_GETLK(&mut lock)).map_err(|errno: Errno| {
        Error::system("ask for the lock of", mapping.path(), io::Error::from(errno))
    })?;
    Ok(lock.l_type != libc::F_UNLCK as libc::c_short)
}

/// The id of this boot of the kernel, read once; `None` where `/proc` does not tell.
pub(crate) fn present_boot() -> Option<[u8; 16]> {
    static BOOT: OnceLock<Option<[u8; 16]>> = OnceLock::new();
    *BOOT.get_or_init(|| parse_boot(&std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?))
}

fn parse_boot(text: &str) -> Option<[u8; 16]> {
    let hex: String = text.trim().chars().filter(|&c| c != '-').collect();
    let number = u128::from_str_radix(&hex, 16).ok().filter(|_| hex.len() == 32)?;
    Some(number.to_be_bytes())
}

/// How a slab's boot relates to the present one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Boot {
    /// The same: its clock is ours.
    Present,
    /// Another: its writer cannot live.
    Other,
    /// One of the two is unknown.
    Unknown,
}

/// Compares a slab's boot with the present one.
pub(crate) fn boot(of_slab: &[u8; 16]) -> Boot {
    match present_boot() {
        Some(present) if present == *of_slab => Boot::Present,
        Some(_) if *of_slab != [0; 16] => Boot::Other,
        _ => Boot::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_id_is_its_hex_digits_in_their_order() {
        let id = parse_boot("00112233-4455-6677-8899-aabbccddeeff\n").unwrap();
        assert_eq!(id[..4], [0, 0x11, 0x22, 0x33]);
        assert_eq!(parse_boot(""), None);
        assert_eq!(parse_boot("0011"), None);
    }
}
