//! The console's keyboard: standard input to the guest's serial port.
//!
//! Ctrl-A X ends the machine, Ctrl-A Ctrl-A types a Ctrl-A. Input that the guest does not take is kept, up to
//! a bound; beyond that it stays with the terminal or pipe. A regular file cannot be waited for, and is
//! ignored.

use crate::devices::Devices;
use crate::ending::{EndRequest, Ending};
use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};
use std::collections::VecDeque;
use std::io::Stdin;
use std::os::fd::AsFd;
use std::sync::Arc;

const PENDING_MAX: usize = 4096;
const ESCAPE: u8 = 0x01;

/// Which of the two descriptors an event is of.
const INPUT: u32 = 0;
const ROOM: u32 = 1;

/// Reads standard input.
pub struct ConsoleInput {
    stdin: Stdin,
    devices: Arc<Devices>,
    end: Arc<EndRequest>,
    pending: VecDeque<u8>,
    keys: Keys,
    input: Input,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Input {
    /// Waited for.
    Watched,
    /// Not now: too much of it is pending.
    Paused,
    /// There will be no more.
    Ended,
}

impl ConsoleInput {
    /// Input for the serial port of `devices`.
    pub fn new(devices: Arc<Devices>, end: Arc<EndRequest>) -> Self {
        Self {
            stdin: std::io::stdin(),
            devices,
            end,
            pending: VecDeque::new(),
            keys: Keys::default(),
            input: Input::Ended,
        }
    }

    /// Takes what there is; says whether that was the end.
    fn read(&mut self) -> bool {
        let mut bytes = [0; 256];
        let room = PENDING_MAX.saturating_sub(self.pending.len()).min(bytes.len());
        // Not through `Stdin`'s buffer, in which input could wait unseen.
        match nix::unistd::read(self.stdin.as_fd(), &mut bytes[..room]) {
            Ok(0) => return true,
            Ok(length) => {
                for byte in &bytes[..length] {
                    match self.keys.press(*byte) {
                        Key::Type(byte) => self.pending.push_back(byte),
                        Key::Quit => self.end.ask(Ending::Quit),
                        Key::Nothing => {}
                    }
                }
            }
            Err(nix::errno::Errno::EINTR | nix::errno::Errno::EAGAIN) => {}
            // Also EIO: the terminal belongs to another job, as it does to one that is started with `&`.
            Err(_) => return true,
        }
        false
    }

    fn watch_input(&mut self, ops: &mut EventOps<'_>, wanted: Input) {
        let events = Events::with_data(&self.stdin, INPUT, EventSet::IN);
        let is_changed = match (self.input, wanted) {
            (Input::Watched, Input::Paused | Input::Ended) => ops.remove(events).is_ok(),
            (Input::Paused, Input::Watched) => ops.add(events).is_ok(),
            _ => false,
        };
        if is_changed {
            self.input = wanted;
        }
    }
}

impl MutEventSubscriber for ConsoleInput {
    fn process(&mut self, events: Events, ops: &mut EventOps<'_>) {
        if events.data() == ROOM {
            let _ = self.devices.serial().room().read();
        } else if self.read() {
            self.watch_input(ops, Input::Ended);
        }
        self.devices.serial().type_in(&mut self.pending);
        let is_full = self.pending.len() >= PENDING_MAX;
        self.watch_input(ops, if is_full { Input::Paused } else { Input::Watched });
    }

    fn init(&mut self, ops: &mut EventOps<'_>) {
        let events = Events::with_data(&self.stdin, INPUT, EventSet::IN);
        // A regular file is refused, and that is no reason to end.
        if ops.add(events).is_ok() {
            self.input = Input::Watched;
            let room = Events::with_data(self.devices.serial().room(), ROOM, EventSet::IN);
            super::watch(ops, room, &self.end);
        }
    }
}

/// What a byte of input means.
#[derive(Debug, PartialEq, Eq)]
enum Key {
    Type(u8),
    Quit,
    Nothing,
}

#[derive(Default)]
struct Keys {
    is_escaped: bool,
}

impl Keys {
    fn press(&mut self, byte: u8) -> Key {
        match (std::mem::take(&mut self.is_escaped), byte) {
            (false, ESCAPE) => {
                self.is_escaped = true;
                Key::Nothing
            }
            (true, b'x' | b'X') => Key::Quit,
            (_, byte) => Key::Type(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_x_after_ctrl_a_quits() {
        let press = |bytes: &[u8]| {
            let mut keys = Keys::default();
            bytes.iter().map(|byte| keys.press(*byte)).collect::<Vec<_>>()
        };
        assert_eq!(press(b"x"), [Key::Type(b'x')]);
        assert_eq!(press(b"\x01\x01x"), [Key::Nothing, Key::Type(1), Key::Type(b'x')]);
        assert_eq!(press(b"\x01bx"), [Key::Nothing, Key::Type(b'b'), Key::Type(b'x')]);
        assert_eq!(press(b"\x01X"), [Key::Nothing, Key::Quit]);
    }
}
