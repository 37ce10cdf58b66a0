//! The serial port: vm-superio's, with the console at its other end.

use crate::error::Error;
use crate::layout::SERIAL_PORT;
use crate::metrics::Milestones;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use vm_superio::serial::SerialEvents;
use vm_superio::{Serial, Trigger};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

/// Where the guest's output goes. A reader that is slow holds the guest up, as a slow line would.
pub type Console = Box<dyn Write + Send>;

const PORTS: u16 = 8;

/// Which register of the serial port a port is.
pub(super) fn offset(port: u16) -> Option<u8> {
    let offset = port.checked_sub(SERIAL_PORT)?;
    (offset < PORTS).then_some(offset as u8)
}

/// The machine's serial port.
pub struct SerialDevice {
    port: Mutex<Serial<Interrupt, Room, Output>>,
    interrupt: EventFd,
    room: EventFd,
}

impl SerialDevice {
    /// A port that writes to `console`.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new(console: Console, milestones: Arc<Milestones>) -> Result<Self, Error> {
        let event = || EventFd::new(EFD_NONBLOCK);
        let create = || -> io::Result<Self> {
            let (interrupt, room) = (event()?, event()?);
            let output = Output { console, milestones };
            Ok(Self {
                port: Mutex::new(Serial::with_events(
                    Interrupt(interrupt.try_clone()?),
                    Room(room.try_clone()?),
                    output,
                )),
                interrupt,
                room,
            })
        };
        create().map_err(Error::system("create the serial port's events"))
    }

    /// Signalled when the port wants an interrupt; for KVM's irqfd.
    pub fn interrupt(&self) -> &EventFd {
        &self.interrupt
    }

    /// Signalled when the guest has read all input that there was.
    pub fn room(&self) -> &EventFd {
        &self.room
    }

    pub(super) fn write(&self, offset: u8, data: &[u8]) {
        let mut port = self.lock();
        for byte in data {
            // A byte that the console does not take is lost, as on a line that nobody listens at.
            let _ = port.write(offset, *byte);
        }
    }

    pub(super) fn read(&self, offset: u8, data: &mut [u8]) {
        let mut port = self.lock();
        data.fill_with(|| port.read(offset));
    }

    /// How many bytes of input the guest has room for.
    pub fn input_room(&self) -> usize {
        self.lock().fifo_capacity()
    }

    /// Gives the guest input; what there is no room for is lost.
    pub fn type_in(&self, bytes: &[u8]) {
        let _ = self.lock().enqueue_raw_bytes(bytes);
    }

    fn lock(&self) -> MutexGuard<'_, Serial<Interrupt, Room, Output>> {
        self.port.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Notices the first byte.
struct Output {
    console: Console,
    milestones: Arc<Milestones>,
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.milestones.first_serial_byte.reach();
        self.console.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.console.flush()
    }
}
