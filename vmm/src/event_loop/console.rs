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
    is_watched: bool,
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
            is_watched: false,
        }
    }

    fn events(&self) -> Events {
        Events::with_data(&self.stdin, INPUT, EventSet::IN)
    }

    /// Takes what there is. `false` at its end.
    fn read(&mut self) -> bool {
        let mut bytes = [0; 256];
        let room = PENDING_MAX.saturating_sub(self.pending.len()).min(bytes.len());
        // Not through `Stdin`'s buffer, in which input could wait unseen.
        match nix::unistd::read(self.stdin.as_fd(), &mut bytes[..room]) {
            Ok(0) => false,
            Ok(length) => {
                for byte in &bytes[..length] {
                    match self.keys.press(*byte) {
                        Key::Type(byte) => self.pending.push_back(byte),
                        Key::Quit => self.end.ask(Ending::Quit),
                        Key::Nothing => {}
                    }
                }
                true
            }
            Err(nix::errno::Errno::EINTR | nix::errno::Errno::EAGAIN) => true,
            Err(_) => false,
        }
    }

    fn type_pending(&mut self) {
        let serial = self.devices.serial();
        let count = serial.input_room().min(self.pending.len());
        if count > 0 {
            let bytes: Vec<u8> = self.pending.drain(..count).collect();
            serial.type_in(&bytes);
        }
    }
}

impl MutEventSubscriber for ConsoleInput {
    fn process(&mut self, events: Events, ops: &mut EventOps<'_>) {
        if events.data() == ROOM {
            let _ = self.devices.serial().room().read();
        } else if !self.read() {
            self.is_watched = false;
            let _ = ops.remove(self.events());
            // Never again: an input that ended, ends again at once.
            let _ = ops.remove(Events::empty(self.devices.serial().room()));
        }
        self.type_pending();
        let has_room = self.pending.len() < PENDING_MAX;
        if self.is_watched && !has_room {
            self.is_watched = ops.remove(self.events()).is_err();
        } else if !self.is_watched && has_room && events.data() == ROOM {
            self.is_watched = ops.add(self.events()).is_ok();
        }
    }

    fn init(&mut self, ops: &mut EventOps<'_>) {
        // A regular file is refused, and that is no reason to end.
        self.is_watched = ops.add(self.events()).is_ok();
        if self.is_watched {
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
        let mut keys = Keys::default();
        let mut press = |bytes: &[u8]| bytes.iter().map(|b| keys.press(*b)).collect::<Vec<_>>();
        assert_eq!(press(b"x"), [Key::Type(b'x')]);
        assert_eq!(press(b"\x01\x01x"), [Key::Nothing, Key::Type(1), Key::Type(b'x')]);
        assert_eq!(press(b"\x01bx"), [Key::Nothing, Key::Type(b'b'), Key::Type(b'x')]);
        assert_eq!(press(b"\x01X"), [Key::Nothing, Key::Quit]);
    }
}
