//! What the collector is told from outside: to stop, or to read its settings again.
//!
//! SIGTERM and SIGINT stop it, SIGHUP makes it reload. A handler sets a flag and writes a byte into a
//! pipe, so that a loop that waits with `poll` wakes at once. A second SIGTERM or SIGINT ends the
//! process on the spot, with the exit code that shells give to a signal: whoever sends it does not want
//! to wait for the last pass. (SIGPIPE is ignored by Rust's runtime: a log that nobody reads any more must not
//! end the collector.)

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The flags.
#[derive(Debug, Default)]
struct Flags {
    stop: Arc<AtomicBool>,
    reload: Arc<AtomicBool>,
}

/// What was asked of the loop. Its descriptor is readable when something was.
#[derive(Debug)]
pub struct Orders {
    flags: Arc<Flags>,
    wakes: UnixStream,
    waker: UnixStream,
}

/// Gives orders from another thread.
#[derive(Debug)]
pub struct Remote {
    flags: Arc<Flags>,
    waker: UnixStream,
}

impl Orders {
    /// Orders that only a [`Remote`] gives: for a collector inside another program.
    ///
    /// # Errors
    /// No pipe can be made.
    pub fn new() -> io::Result<Self> {
        let (wakes, waker) = UnixStream::pair()?;
        wakes.set_nonblocking(true)?;
        waker.set_nonblocking(true)?;
        Ok(Self {
            flags: Arc::default(),
            wakes,
            waker,
        })
    }

    /// Orders that also come as signals to this process.
    ///
    /// # Errors
    /// No pipe can be made, or a signal not be handled.
    pub fn from_signals() -> io::Result<Self> {
        let orders = Self::new()?;
        let (stop, reload) = (&orders.flags.stop, &orders.flags.reload);
        for signal in [SIGTERM, SIGINT] {
            // In this order: the first signal finds the flag unset, sets it, and the second finds it set.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(stop))?;
            flag::register(signal, Arc::clone(stop))?;
        }
        flag::register(SIGHUP, Arc::clone(reload))?;
        for signal in [SIGTERM, SIGINT, SIGHUP] {
            low_level::pipe::register(signal, orders.waker.try_clone()?)?;
        }
        Ok(orders)
    }

    /// For another thread.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn remote(&self) -> io::Result<Remote> {
        Ok(Remote {
            flags: Arc::clone(&self.flags),
            waker: self.waker.try_clone()?,
        })
    }

    /// Empties the pipe, so that the next order wakes again. Comes before the flags are looked at.
    pub fn clear_wakes(&self) {
        let mut bytes = [0; 64];
        while matches!((&self.wakes).read(&mut bytes), Ok(count) if count > 0) {}
    }

    /// Whether it is to stop. That order stays.
    pub fn is_stop(&self) -> bool {
        self.flags.stop.load(Ordering::SeqCst)
    }

    /// Whether it is to reload; true once for each order.
    pub fn take_reload(&self) -> bool {
        self.flags.reload.swap(false, Ordering::SeqCst)
    }
}

impl AsFd for Orders {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wakes.as_fd()
    }
}

impl Remote {
    /// As SIGTERM.
    pub fn stop(&self) {
        self.flags.stop.store(true, Ordering::SeqCst);
        self.wake();
    }

    /// As SIGHUP.
    pub fn reload(&self) {
        self.flags.reload.store(true, Ordering::SeqCst);
        self.wake();
    }

    fn wake(&self) {
        // A pipe that is full wakes as well.
        let _ = (&self.waker).write(&[0]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    fn is_readable(orders: &Orders) -> bool {
        poll(
            &mut [PollFd::new(orders.as_fd(), PollFlags::POLLIN)],
            PollTimeout::ZERO,
        )
        .unwrap()
            == 1
    }

    #[test]
    fn an_order_wakes_until_it_is_taken() {
        let orders = Orders::new().unwrap();
        assert!(!is_readable(&orders));
        let remote = orders.remote().unwrap();
        remote.reload();
        assert!(is_readable(&orders));
        orders.clear_wakes();
        assert!(!is_readable(&orders) && orders.take_reload() && !orders.take_reload());
        remote.stop();
        assert!(is_readable(&orders) && orders.is_stop() && orders.is_stop());
    }

    /// A thousand orders while the loop is in a long pass must not block whoever gives them.
    #[test]
    fn a_full_pipe_does_not_block() {
        let orders = Orders::new().unwrap();
        let remote = orders.remote().unwrap();
        (0..100_000).for_each(|_| remote.reload());
        orders.clear_wakes();
        assert!(!is_readable(&orders) && orders.take_reload());
    }

    /// Only SIGHUP is raised here: the others would end the other tests.
    #[test]
    fn a_signal_is_an_order() {
        let orders = Orders::from_signals().unwrap();
        low_level::raise(SIGHUP).unwrap();
        assert!(is_readable(&orders) && orders.take_reload() && !orders.is_stop());
    }
}
