//! The serial port: vm-superio's, with the console at its other end.
//!
//! The console may be slow or stuck (a pipe that nobody reads). That holds up the vCPU that writes, as a slow line
//! would, but neither the event loop, which never waits for the port's lock, nor the end of the machine: the
//! signal that stops a vCPU's thread also ends its wait for the console.

use crate::ending::EndRequest;
use crate::error::Error;
use crate::layout::SERIAL_PORT;
use crate::metrics::Milestones;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use vm_superio::serial::SerialEvents;
use vm_superio::{Serial, Trigger};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

/// Where the guest's output goes.
pub type Console = Box<dyn Write + Send>;

type Port = Serial<Interrupt, Room, Output>;

const PORTS: u16 = 8;

/// Which register of the serial port a port is.
pub(super) fn offset(port: u16) -> Option<u8> {
    let offset = port.checked_sub(SERIAL_PORT)?;
    (offset < PORTS).then_some(offset as u8)
}

/// The machine's serial port.
pub struct SerialDevice {
    port: Mutex<Port>,
    interrupt: EventFd,
    room: EventFd,
    /// There is input that found the port busy.
    has_input: AtomicBool,
}

impl SerialDevice {
    /// A port that writes to `console`, until the machine ends.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new(console: Console, milestones: Arc<Milestones>, end: Arc<EndRequest>) -> Result<Self, Error> {
        let output = Output {
            console,
            milestones,
            end,
        };
        let create = || -> io::Result<Self> {
            let (interrupt, room) = (EventFd::new(EFD_NONBLOCK)?, EventFd::new(EFD_NONBLOCK)?);
            let trigger = Interrupt(interrupt.try_clone()?);
            Ok(Self {
                port: Mutex::new(Serial::with_events(trigger, Room(room.try_clone()?), output)),
                interrupt,
                room,
                has_input: AtomicBool::new(false),
            })
        };
        create().map_err(Error::system("create the serial port's events"))
    }

    /// Signalled when the port wants an interrupt; for KVM's irqfd.
    pub fn interrupt(&self) -> &EventFd {
        &self.interrupt
    }

    /// Signalled when it is worth calling [`Self::type_in`] again.
    pub fn room(&self) -> &EventFd {
        &self.room
    }

    pub(super) fn write(&self, offset: u8, data: &[u8]) {
        self.access(|port| {
            for byte in data {
                // A byte that the console does not take is lost, as on a line that nobody listens at.
                let _ = port.write(offset, *byte);
            }
        });
    }

    pub(super) fn read(&self, offset: u8, data: &mut [u8]) {
        self.access(|port| data.fill_with(|| port.read(offset)));
    }

    /// An access of the guest's; waits for other vCPUs.
    fn access(&self, access: impl FnOnce(&mut Port)) {
        access(&mut self.port.lock().unwrap_or_else(PoisonError::into_inner));
        // Pairs with the fence in `type_in`: either that one finds the port free, or this one sees its mark.
        fence(Ordering::SeqCst);
        if self.has_input.load(Ordering::Relaxed) {
            let _ = self.room.write(1);
        }
    }

    /// Gives the guest as much of `input` as it has room for; what is left waits for [`Self::room`]. Never waits.
    pub fn type_in(&self, input: &mut VecDeque<u8>) {
        self.has_input.store(!input.is_empty(), Ordering::Relaxed);
        // Pairs with the fence in `access`.
        fence(Ordering::SeqCst);
        let mut port = match self.port.try_lock() {
            Ok(port) => port,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        let count = port.fifo_capacity().min(input.len());
        if count > 0 {
            let bytes: Vec<u8> = input.drain(..count).collect();
            // It has room for them; an interrupt that cannot be sent is one that was sent already.
            let _ = port.enqueue_raw_bytes(&bytes);
        }
        // From here on the port says itself when its buffer is empty.
        self.has_input.store(false, Ordering::Relaxed);
    }
}

struct Interrupt(EventFd);

impl Trigger for Interrupt {
    type E = io::Error;

    fn trigger(&self) -> io::Result<()> {
        self.0.write(1)
    }
}

struct Room(EventFd);

impl SerialEvents for Room {
    fn buffer_read(&self) {}
    fn out_byte(&self) {}
    fn tx_lost_byte(&self) {}
    fn in_buffer_empty(&self) {
        let _ = self.0.write(1);
    }
}

/// Notices the first byte, and gives up when the machine ends.
struct Output {
    console: Console,
    milestones: Arc<Milestones>,
    end: Arc<EndRequest>,
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.milestones.first_serial_byte.reach();
        match self.console.write(bytes) {
            // Whoever writes a whole buffer tries again after an interruption, but not after this.
            Err(error) if error.kind() == io::ErrorKind::Interrupted && self.end.ending().is_some() => {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            result => result,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.console.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: u8 = 0;
    const FIFO_SIZE: usize = 64;

    fn serial() -> SerialDevice {
        let end = Arc::new(EndRequest::new().unwrap());
        SerialDevice::new(Box::new(io::sink()), Arc::default(), end).unwrap()
    }

    #[test]
    fn input_beyond_the_ports_buffer_waits_for_the_guest() {
        let serial = serial();
        let mut input: VecDeque<u8> = (0..100).collect();
        let mut taken = Vec::new();
        serial.type_in(&mut input);
        assert_eq!(input.len(), 100 - FIFO_SIZE);
        for _ in 0..100 {
            let mut byte = [0];
            serial.read(DATA, &mut byte);
            taken.push(byte[0]);
            if serial.room().read().is_ok() {
                serial.type_in(&mut input);
            }
        }
        assert_eq!(taken, (0..100).collect::<Vec<u8>>());
    }

    /// A vCPU that is stuck in the console has the lock, and the event loop has ticks to do.
    #[test]
    fn input_for_a_busy_port_comes_back_when_the_port_is_free() {
        let serial = serial();
        let mut input = VecDeque::from([7]);
        serial.access(|_| {
            serial.type_in(&mut input);
            assert!(serial.room().read().is_err(), "free already");
        });
        assert_eq!(input.len(), 1);
        assert!(serial.room().read().is_ok(), "nobody says that it is free");
        serial.type_in(&mut input);
        assert!(input.is_empty());
    }
}
