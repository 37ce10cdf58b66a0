//! The registers of a virtio device with one queue.

use super::{Link, QUEUE_SIZE_MAX};
use crate::devices::MmioDevice;
use std::sync::Arc;
use virtio_bindings::bindings::virtio_config::{
    VIRTIO_CONFIG_S_ACKNOWLEDGE as ACKNOWLEDGE, VIRTIO_CONFIG_S_DRIVER as DRIVER,
    VIRTIO_CONFIG_S_DRIVER_OK as DRIVER_OK, VIRTIO_CONFIG_S_FAILED as FAILED,
    VIRTIO_CONFIG_S_FEATURES_OK as FEATURES_OK, VIRTIO_CONFIG_S_NEEDS_RESET as NEEDS_RESET,
    VIRTIO_F_VERSION_1,
};
use virtio_bindings::bindings::virtio_mmio::{
    VIRTIO_MMIO_CONFIG, VIRTIO_MMIO_CONFIG_GENERATION, VIRTIO_MMIO_DEVICE_FEATURES,
    VIRTIO_MMIO_DEVICE_FEATURES_SEL, VIRTIO_MMIO_DEVICE_ID, VIRTIO_MMIO_DRIVER_FEATURES,
    VIRTIO_MMIO_DRIVER_FEATURES_SEL, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INTERRUPT_STATUS,
    VIRTIO_MMIO_MAGIC_VALUE, VIRTIO_MMIO_QUEUE_AVAIL_HIGH, VIRTIO_MMIO_QUEUE_AVAIL_LOW,
    VIRTIO_MMIO_QUEUE_DESC_HIGH, VIRTIO_MMIO_QUEUE_DESC_LOW, VIRTIO_MMIO_QUEUE_NOTIFY, VIRTIO_MMIO_QUEUE_NUM,
    VIRTIO_MMIO_QUEUE_NUM_MAX, VIRTIO_MMIO_QUEUE_READY, VIRTIO_MMIO_QUEUE_SEL, VIRTIO_MMIO_QUEUE_USED_HIGH,
    VIRTIO_MMIO_QUEUE_USED_LOW, VIRTIO_MMIO_STATUS, VIRTIO_MMIO_VENDOR_ID, VIRTIO_MMIO_VERSION,
};
use virtio_bindings::bindings::virtio_ring::VIRTIO_RING_F_EVENT_IDX;
use virtio_queue::{Error, Queue, QueueT};
use vm_memory::{GuestAddress, GuestMemoryMmap};

const MAGIC: u32 = u32::from_le_bytes(*b"virt");
const VERSION: u32 = 2;
const VENDOR: u32 = u32::from_le_bytes(*b"rndo");

/// A bit of the status, and those that have to be there before it.
const STEPS: [(u32, u32); 4] = [
    (ACKNOWLEDGE, 0),
    (DRIVER, ACKNOWLEDGE),
    (FEATURES_OK, ACKNOWLEDGE | DRIVER),
    (DRIVER_OK, ACKNOWLEDGE | DRIVER | FEATURES_OK),
];

/// The registers, on the vCPUs' side of a [`Link`].
#[derive(Debug)]
pub struct Transport {
    device_id: u32,
    /// Features that are offered.
    features: u64,
    /// The device's own registers, which a driver only reads.
    config: Vec<u8>,
    memory: GuestMemoryMmap,
    link: Arc<Link>,
    driver: Driver,
}

/// What the driver has written, and a reset forgets.
#[derive(Debug, Default)]
struct Driver {
    status: u32,
    device_features_select: u32,
    features_select: u32,
    features: u64,
    queue_select: u32,
    queue_size: u32,
    desc_table: u64,
    avail_ring: u64,
    used_ring: u64,
    /// Ready, and not yet in use.
    queue: Option<Queue>,
    queue_ready: bool,
}

impl Transport {
    /// Registers of a device of that kind.
    pub fn new(
        device_id: u32,
        features: u64,
        config: Vec<u8>,
        memory: GuestMemoryMmap,
        link: Arc<Link>,
    ) -> Self {
        Self {
            device_id,
            features,
            config,
            memory,
            link,
            driver: Driver::default(),
        }
    }

    fn register(&self, offset: u32) -> u32 {
        let (driver, is_queue) = (&self.driver, self.driver.queue_select == 0);
        match offset {
            VIRTIO_MMIO_MAGIC_VALUE => MAGIC,
            VIRTIO_MMIO_VERSION => VERSION,
            VIRTIO_MMIO_DEVICE_ID => self.device_id,
            VIRTIO_MMIO_VENDOR_ID => VENDOR,
            VIRTIO_MMIO_DEVICE_FEATURES => half(self.features, driver.device_features_select),
            VIRTIO_MMIO_QUEUE_NUM_MAX if is_queue => u32::from(QUEUE_SIZE_MAX),
            VIRTIO_MMIO_QUEUE_READY if is_queue => u32::from(driver.queue_ready && !self.link.is_broken()),
            VIRTIO_MMIO_INTERRUPT_STATUS => self.link.reasons(),
            VIRTIO_MMIO_STATUS if self.link.is_broken() => driver.status | NEEDS_RESET,
            VIRTIO_MMIO_STATUS => driver.status,
            // The configuration never changes.
            VIRTIO_MMIO_CONFIG_GENERATION => 0,
            _ => 0,
        }
    }

    fn set_register(&mut self, offset: u32, value: u32) {
        let driver = &mut self.driver;
        match offset {
            VIRTIO_MMIO_STATUS if value == 0 => {
                self.link.reset();
                self.driver = Driver::default();
            }
            VIRTIO_MMIO_STATUS => self.set_status(value),
            VIRTIO_MMIO_INTERRUPT_ACK => self.link.acknowledge(value),
            // KVM rings the doorbell of queue 0 itself, if it was asked to.
            VIRTIO_MMIO_QUEUE_NOTIFY if value == 0 => self.link.ring(),
            VIRTIO_MMIO_DEVICE_FEATURES_SEL => driver.device_features_select = value,
            VIRTIO_MMIO_DRIVER_FEATURES_SEL => driver.features_select = value,
            VIRTIO_MMIO_DRIVER_FEATURES if driver.status & FEATURES_OK == 0 => {
                set_half(&mut driver.features, driver.features_select, value);
            }
            VIRTIO_MMIO_QUEUE_SEL => driver.queue_select = value,
            VIRTIO_MMIO_QUEUE_READY if driver.queue_select == 0 => self.set_ready(value),
            // What a queue is may change only while it is not ready.
            _ if driver.queue_select != 0 || driver.queue_ready => {}
            VIRTIO_MMIO_QUEUE_NUM => driver.queue_size = value,
            VIRTIO_MMIO_QUEUE_DESC_LOW => set_half(&mut driver.desc_table, 0, value),
            VIRTIO_MMIO_QUEUE_DESC_HIGH => set_half(&mut driver.desc_table, 1, value),
            VIRTIO_MMIO_QUEUE_AVAIL_LOW => set_half(&mut driver.avail_ring, 0, value),
            VIRTIO_MMIO_QUEUE_AVAIL_HIGH => set_half(&mut driver.avail_ring, 1, value),
            VIRTIO_MMIO_QUEUE_USED_LOW => set_half(&mut driver.used_ring, 0, value),
            VIRTIO_MMIO_QUEUE_USED_HIGH => set_half(&mut driver.used_ring, 1, value),
            _ => {}
        }
    }

    /// The driver goes on to the next step of its initialisation, or says that it gives up.
    fn set_status(&mut self, value: u32) {
        let driver = &mut self.driver;
        let added = value & !driver.status;
        if value & driver.status != driver.status {
            // It takes a step back, which only a reset does.
            return self.link.fail();
        }
        for (step, needed) in STEPS {
            if added & step == 0 {
                continue;
            }
            if value & needed != needed || driver.status & FAILED != 0 {
                return self.link.fail();
            }
            match step {
                // The driver reads the status again, to see whether the device takes its features.
                FEATURES_OK if !takes(self.features, driver.features) => {}
                DRIVER_OK if self.link.is_broken() => {}
                _ => driver.status |= step,
            }
        }
        driver.status |= value & FAILED;
        if added & driver.status & DRIVER_OK != 0
            && let Some(queue) = driver.queue.take()
        {
            self.link.activate(queue);
        }
    }

    fn set_ready(&mut self, value: u32) {
        let is_running = self.driver.status & DRIVER_OK != 0;
        self.driver.queue = None;
        match (value, self.queue()) {
            (0, _) => {
                self.driver.queue_ready = false;
                self.link.deactivate();
            }
            // A second time, or too late.
            (_, _) if self.driver.queue_ready || is_running => self.link.fail(),
            (_, Ok(queue)) if self.driver.status & FEATURES_OK != 0 => {
                self.driver.queue = Some(queue);
                self.driver.queue_ready = true;
            }
            _ => self.link.fail(),
        }
    }

    /// The queue as the driver described it.
    fn queue(&self) -> Result<Queue, Error> {
        let driver = &self.driver;
        let mut queue = Queue::new(QUEUE_SIZE_MAX)?;
        queue.try_set_size(u16::try_from(driver.queue_size).map_err(|_| Error::InvalidSize)?)?;
        queue.try_set_desc_table_address(GuestAddress(driver.desc_table))?;
        queue.try_set_avail_ring_address(GuestAddress(driver.avail_ring))?;
        queue.try_set_used_ring_address(GuestAddress(driver.used_ring))?;
        queue.set_event_idx(driver.features & 1 << VIRTIO_RING_F_EVENT_IDX != 0);
        queue.set_ready(true);
        if queue.is_valid(&self.memory) {
            Ok(queue)
        } else {
            Err(Error::FindMemoryRegion)
        }
    }
}

impl MmioDevice for Transport {
    fn read(&mut self, offset: u64, data: &mut [u8]) {
        data.fill(0);
        if let Some(start) = offset.checked_sub(u64::from(VIRTIO_MMIO_CONFIG)) {
            let config = usize::try_from(start)
                .ok()
                .and_then(|start| self.config.get(start..));
            for (to, from) in data.iter_mut().zip(config.unwrap_or_default()) {
                *to = *from;
            }
        } else if let (Ok(offset), Ok(register)) = (u32::try_from(offset), <&mut [u8; 4]>::try_from(data)) {
            *register = self.register(offset).to_le_bytes();
        }
    }

    fn write(&mut self, offset: u64, data: &[u8]) {
        // Registers are 32 bits wide, whatever else a guest may try.
        if let (Ok(offset), Ok(value)) = (u32::try_from(offset), data.try_into()) {
            self.set_register(offset, u32::from_le_bytes(value));
        }
    }
}

/// A device of today talks to drivers of today only, and about what it offered.
fn takes(offered: u64, wanted: u64) -> bool {
    wanted & !offered == 0 && wanted & 1 << VIRTIO_F_VERSION_1 != 0
}

/// Bits 0 to 31, or 32 to 63; there are no others.
fn half(whole: u64, select: u32) -> u32 {
    match select {
        0 => whole as u32,
        1 => (whole >> 32) as u32,
        _ => 0,
    }
}

fn set_half(whole: &mut u64, select: u32, value: u32) {
    match select {
        0 => *whole = *whole & !0xffff_ffff | u64::from(value),
        1 => *whole = *whole & 0xffff_ffff | u64::from(value) << 32,
        _ => {}
    }
}
