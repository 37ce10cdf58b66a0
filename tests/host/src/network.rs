//! A network of one's own, in which the loopback carries nothing but what is measured.

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getgid, getuid};
use std::process::{Command, Stdio};

/// Whose packets the counters of the loopback count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loopback {
    /// Of this process and those that it starts.
    Private,
    /// Of the whole host.
    Shared,
}

/// Leaves the host's network for an empty one with a loopback, for this process and all that it starts from now on. If
/// the kernel does not allow it, or there is no `ip` to bring the loopback up, they stay in the host's. Call it before there
/// are other threads.
///
/// # Errors
/// There is a new network, but its loopback does not come up: nothing could talk in it.
pub fn leave() -> Result<Loopback> {
    if Command::new("ip")
        .arg("-V")
        .stdout(Stdio::null())
        .status()
        .is_err()
    {
        return Ok(Loopback::Shared);
    }
    let (uid, gid) = (getuid(), getgid());
    if unshare(CloneFlags::CLONE_NEWNET).is_err() {
        // Whoever is not root may be root in a user namespace of their own.
        if unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET).is_err() {
            return Ok(Loopback::Shared);
        }
        std::fs::write("/proc/self/setgroups", "deny").context("/proc/self/setgroups")?;
        std::fs::write("/proc/self/uid_map", format!("0 {uid} 1")).context("/proc/self/uid_map")?;
        std::fs::write("/proc/self/gid_map", format!("0 {gid} 1")).context("/proc/self/gid_map")?;
    }
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status()?;
    anyhow::ensure!(up.success(), "the loopback of a new network does not come up");
    Ok(Loopback::Private)
}

/// Bytes that the loopback has carried so far, with the headers of IP and TCP, each once.
///
/// # Errors
/// There is no loopback.
pub fn loopback_bytes() -> Result<u64> {
    let devices = procfs::net::dev_status()?;
    let lo = devices.get("lo").context("there is no loopback")?;
    Ok(lo.sent_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn what_goes_over_the_loopback_is_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let before = loopback_bytes().unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.write_all(&[1; 10_000]).unwrap();
        let mut server = listener.accept().unwrap().0;
        server.read_exact(&mut [0; 10_000]).unwrap();
        assert!(loopback_bytes().unwrap() >= before + 10_000);
    }
}
