//! The terminal's raw mode, and the way back from it.

use crate::error::Error;
use nix::sys::termios::{LocalFlags, SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use std::io::{IsTerminal, Stdin};
use std::os::fd::AsFd;

/// Keys go to the guest as they are typed. Dropping it gives the terminal back as it was: on every end that unwinds or
/// returns. Nothing here helps against SIGKILL or the filters' kill; `stty sane` does, afterwards.
#[must_use = "raw mode ends when this is dropped"]
pub struct RawMode {
    stdin: Stdin,
    before: Termios,
}

impl RawMode {
    /// Raw mode for standard input; `None` if it is no terminal, or one that belongs to another job. With
    /// `keep_signals`, Ctrl-C and its like still are signals: for a guest that reads nothing.
    ///
    /// # Errors
    /// [`Error::System`].
    pub fn enter(keep_signals: bool) -> Result<Option<Self>, Error> {
        let stdin = std::io::stdin();
        if !stdin.is_terminal() || !is_in_foreground(&stdin) {
            return Ok(None);
        }
        let enter = || -> nix::Result<Self> {
            let before = tcgetattr(&stdin)?;
            let mut raw = before.clone();
            cfmakeraw(&mut raw);
            // Output stays as it is: the VMM's own messages end with a line feed only.
            raw.output_flags = before.output_flags;
            raw.local_flags.set(LocalFlags::ISIG, keep_signals);
            tcsetattr(stdin.as_fd(), SetArg::TCSANOW, &raw)?;
            Ok(Self {
                stdin: std::io::stdin(),
                before,
            })
        };
        enter()
            .map(Some)
            .map_err(Error::system("set the terminal's mode"))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        if is_in_foreground(&self.stdin) {
            let _ = tcsetattr(self.stdin.as_fd(), SetArg::TCSANOW, &self.before);
        }
    }
}

/// In the background, the mode is another job's: the kernel would stop whoever sets it.
fn is_in_foreground(terminal: &Stdin) -> bool {
    nix::unistd::tcgetpgrp(terminal) == Ok(nix::unistd::getpgrp())
}
