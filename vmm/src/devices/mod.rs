//! What the guest reaches with an exit: ports and registers.
//!
//! Called on vCPU threads. Each device has a lock of its own, so vCPUs meet only at the same device.
//! Nobody there: reads give all ones, as on a bus without a device, and writes are lost.

pub mod block;
mod power;
mod serial;
pub mod virtio;

pub use serial::{Console, SerialDevice};

use crate::ending::EndRequest;
use crate::error::Error;
use crate::layout;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// A device with registers in memory. Its methods run on vCPU threads and hold the guest up: what takes
/// long belongs elsewhere. Offsets and lengths are the guest's choice and may be anything in the range.
pub trait MmioDevice: Send {
    /// The guest reads `data.len()` bytes (1 to 8) at `offset`.
    fn read(&mut self, offset: u64, data: &mut [u8]);
    /// The guest writes `data` (1 to 8 bytes) at `offset`.
    fn write(&mut self, offset: u64, data: &[u8]);
}

/// vCPUs take turns.
type Locked = Mutex<Box<dyn MmioDevice>>;

/// All devices of a machine.
pub struct Devices {
    serial: SerialDevice,
    mmio: Vec<(Range<u64>, Locked)>,
    end: Arc<EndRequest>,
}

impl Devices {
    /// The devices of every machine: a serial port, and the ports that ask `end` for power-off and restart.
    pub fn new(serial: SerialDevice, end: Arc<EndRequest>) -> Self {
        Self {
            serial,
            mmio: Vec::new(),
            end,
        }
    }

    /// Puts a device at an address of the device gap.
    ///
    /// # Errors
    /// [`Error::DeviceOverlap`].
    pub(crate) fn attach(&mut self, range: Range<u64>, device: Box<dyn MmioDevice>) -> Result<(), Error> {
        let is_in_gap =
            layout::DEVICE_GAP <= range.start && range.start < range.end && range.end <= layout::IO_APIC;
        let overlaps = |other: &Range<u64>| other.start < range.end && range.start < other.end;
        if !is_in_gap || self.mmio.iter().any(|(other, _)| overlaps(other)) {
            return Err(Error::DeviceOverlap(range.start));
        }
        self.mmio.push((range, Mutex::new(device)));
        Ok(())
    }

    /// The serial port.
    pub fn serial(&self) -> &SerialDevice {
        &self.serial
    }

    /// The guest writes to a port.
    pub fn write_port(&self, port: u16, data: &[u8]) {
        if let Some(offset) = serial::offset(port) {
            self.serial.write(offset, data);
        } else if let Some(ending) = power::asked_for(port, data) {
            self.end.ask(ending);
        }
    }

    /// The guest reads from a port.
    pub fn read_port(&self, port: u16, data: &mut [u8]) {
        if let Some(offset) = serial::offset(port) {
            self.serial.read(offset, data);
        } else {
            data.fill(power::status(port));
        }
    }

    /// The guest writes to memory that is not RAM.
    pub fn write_memory(&self, address: u64, data: &[u8]) {
        if let Some((offset, device)) = self.find(address, data.len()) {
            device
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .write(offset, data);
        }
    }

    /// The guest reads from memory that is not RAM.
    pub fn read_memory(&self, address: u64, data: &mut [u8]) {
        match self.find(address, data.len()) {
            Some((offset, device)) => {
                device
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .read(offset, data);
            }
            None => data.fill(0xff),
        }
    }

    /// The device that has all of these bytes.
    fn find(&self, address: u64, length: usize) -> Option<(u64, &Locked)> {
        let end = address.checked_add(length as u64)?;
        let (range, device) = self
            .mmio
            .iter()
            .find(|(range, _)| range.start <= address && end <= range.end)?;
        Some((address - range.start, device))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Ending;

    struct Register(u8);

    impl MmioDevice for Register {
        fn read(&mut self, _: u64, data: &mut [u8]) {
            data.fill(self.0);
        }
        fn write(&mut self, _: u64, data: &[u8]) {
            self.0 = data[0];
        }
    }

    fn devices() -> Devices {
        let end = Arc::new(EndRequest::new().unwrap());
        let serial = SerialDevice::new(Box::new(std::io::sink()), Arc::default(), end.clone()).unwrap();
        Devices::new(serial, end)
    }

    #[test]
    fn an_access_that_crosses_a_devices_end_meets_nobody() {
        let mut devices = devices();
        let base = layout::VIRTIO_BLOCK;
        devices
            .attach(base..base + 0x1000, Box::new(Register(7)))
            .unwrap();
        let read = |address, length: usize| {
            let mut data = vec![0; length];
            devices.read_memory(address, &mut data);
            data
        };
        assert_eq!(read(base + 0xffc, 4), [7; 4]);
        assert_eq!(read(base + 0xffe, 4), [0xff; 4]);
        assert_eq!(read(u64::MAX - 1, 8), [0xff; 8]);
        devices.write_memory(base, &[9]);
        assert_eq!(read(base, 1), [9]);
    }

    #[test]
    fn devices_do_not_overlap_nor_leave_the_gap() {
        let mut devices = devices();
        let base = layout::VIRTIO_BLOCK;
        let mut attach = |range| devices.attach(range, Box::new(Register(0))).is_ok();
        assert!(attach(base..base + 0x1000));
        assert!(!attach(base + 0xfff..base + 0x2000));
        assert!(attach(base + 0x1000..base + 0x2000));
        assert!(!attach(0..0x1000));
        assert!(!attach(layout::IO_APIC - 1..layout::IO_APIC + 1));
    }

    #[test]
    fn only_the_right_value_switches_the_machine_off() {
        for (port, value, ending) in [
            (
                layout::SLEEP_CONTROL_PORT,
                layout::POWER_OFF,
                Some(Ending::PowerOff),
            ),
            (layout::SLEEP_CONTROL_PORT, 5 << 2, None),
            (layout::RESET_PORT, 1, Some(Ending::Reset)),
            (layout::KEYBOARD_COMMAND_PORT, 0xfe, Some(Ending::Reset)),
            (layout::KEYBOARD_COMMAND_PORT, 0xae, None),
            (0x80, 0, None),
        ] {
            let devices = devices();
            devices.write_port(port, &[value]);
            assert_eq!(devices.end.ending(), ending.as_ref(), "{port:#x} {value:#x}");
        }
    }
}
