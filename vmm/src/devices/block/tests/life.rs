//! From power-on over start, failure and reset to work again, through the registers; and all of that out of order.

use super::hostile::{descriptor, guest, read};
use super::{AVAILABLE, Device, Guest, HEADER, NEXT, SECTORS, TABLE, USED};
use crate::devices::MmioDevice;
use crate::devices::block::transport;
use crate::devices::virtio::Transport;
use proptest::prelude::*;
use std::sync::mpsc;
use std::time::Duration;
use virtio_bindings::bindings::virtio_mmio::*;
use vm_memory::{Bytes, GuestAddress};

const ACKNOWLEDGE: u32 = 1;
const DRIVER: u32 = 2;
const DRIVER_OK: u32 = 4;
const FEATURES_OK: u32 = 8;
const NEEDS_RESET: u32 = 64;
const RUNNING: u32 = ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK;

/// A disk whose thread works when the test says so.
struct Machine {
    device: Device,
    registers: Transport,
}

impl Machine {
    fn new(guest: &Guest) -> Self {
        let mut device = Device::new(false);
        let server = &mut device.server;
        server.memory = guest.memory();
        let registers = transport(&server.disk, server.memory.clone(), server.link.clone());
        Self { device, registers }
    }

    fn get(&mut self, register: u32) -> u32 {
        let mut data = [0xaa; 4];
        self.registers.read(register.into(), &mut data);
        u32::from_le_bytes(data)
    }

    fn set(&mut self, register: u32, value: u32) {
        self.registers.write(register.into(), &value.to_le_bytes());
    }

    fn status(&mut self) -> u32 {
        self.get(VIRTIO_MMIO_STATUS)
    }

    /// As far as the features; the driver wants no more than today's interface.
    fn agree(&mut self) {
        for (register, value) in [
            (VIRTIO_MMIO_STATUS, 0),
            (VIRTIO_MMIO_STATUS, ACKNOWLEDGE),
            (VIRTIO_MMIO_STATUS, ACKNOWLEDGE | DRIVER),
            (VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1),
            (VIRTIO_MMIO_DRIVER_FEATURES, 1),
            (VIRTIO_MMIO_STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK),
        ] {
            self.set(register, value);
        }
    }

    fn describe_queue(&mut self, size: u32, addresses: [u64; 3]) {
        self.set(VIRTIO_MMIO_QUEUE_NUM, size);
        for (low, address) in [
            VIRTIO_MMIO_QUEUE_DESC_LOW,
            VIRTIO_MMIO_QUEUE_AVAIL_LOW,
            VIRTIO_MMIO_QUEUE_USED_LOW,
        ]
        .into_iter()
        .zip(addresses)
        {
            self.set(low, address as u32);
            self.set(low + 4, (address >> 32) as u32);
        }
        self.set(VIRTIO_MMIO_QUEUE_READY, 1);
    }

    fn start(&mut self) {
        self.agree();
        self.describe_queue(8, [TABLE, AVAILABLE, USED]);
        self.set(VIRTIO_MMIO_STATUS, RUNNING);
    }

    /// How many requests are completed.
    fn used(&self) -> u16 {
        self.device
            .server
            .memory
            .read_obj(GuestAddress(USED + 2))
            .unwrap()
    }
}

#[test]
fn a_stopped_device_says_so_and_works_again_after_a_reset() {
    let mut machine = Machine::new(&guest(vec![descriptor(HEADER, 16, NEXT, 0)]));
    machine.start();
    assert_eq!(machine.status(), RUNNING);
    machine.device.server.serve();
    assert_eq!(machine.status(), RUNNING | NEEDS_RESET);
    assert_eq!(machine.get(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
    assert_eq!(machine.device.server.link.interrupt().read().unwrap(), 1);
    assert_eq!(machine.used(), 0);
    // Neither a ring nor a new beginning without a reset helps.
    machine.set(VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    machine.set(VIRTIO_MMIO_STATUS, RUNNING);
    machine.device.server.serve();
    assert_eq!(machine.status(), RUNNING | NEEDS_RESET);

    for (at, descriptor) in (0..).step_by(16).zip(read()) {
        let bytes = descriptor.bytes();
        let memory = &machine.device.server.memory;
        memory.write_slice(&bytes, GuestAddress(TABLE + at)).unwrap();
    }
    machine.start();
    assert_eq!(machine.status(), RUNNING);
    machine.device.server.serve();
    assert_eq!(machine.used(), 1);
    assert_eq!(machine.get(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
    machine.set(VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
    assert_eq!(machine.get(VIRTIO_MMIO_INTERRUPT_STATUS), 0);
    assert_eq!(machine.status(), RUNNING);
}

#[test]
fn after_a_reset_nothing_of_the_queue_is_touched() {
    let mut machine = Machine::new(&guest(read()));
    machine.start();
    machine.set(VIRTIO_MMIO_STATUS, 0);
    machine.device.server.serve();
    assert_eq!((machine.status(), machine.used()), (0, 0));
    assert_eq!(machine.get(VIRTIO_MMIO_QUEUE_READY), 0);
}

/// A flush can take seconds, under the lock of the queue. Only who takes the queue away may wait for it: what a driver
/// does that works is done at once.
#[test]
fn a_vcpu_does_not_wait_for_the_request_in_hand() {
    let mut machine = Machine::new(&guest(read()));
    machine.start();
    let link = machine.device.server.link.clone();
    let (begun, has_begun) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let (answered, answers) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            link.serve(|_| {
                begun.send(()).unwrap();
                let _ = released.recv();
                Ok(false)
            });
        });
        has_begun.recv().unwrap();
        scope.spawn(move || {
            machine.set(VIRTIO_MMIO_QUEUE_NOTIFY, 0);
            let reasons = machine.get(VIRTIO_MMIO_INTERRUPT_STATUS);
            machine.set(VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
            answered.send((reasons, machine.status(), machine.get(VIRTIO_MMIO_CONFIG)))
        });
        let answer = answers.recv_timeout(Duration::from_secs(20));
        drop(release);
        assert_eq!(answer, Ok((0, RUNNING, SECTORS as u32)), "it waits");
    });
}

#[test]
fn a_ring_before_the_start_is_not_an_answer() {
    let mut machine = Machine::new(&guest(read()));
    machine.agree();
    machine.describe_queue(8, [TABLE, AVAILABLE, USED]);
    machine.set(VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    machine.device.server.serve();
    assert_eq!(machine.used(), 0);
    // What was in the queue then is served without another ring.
    machine.set(VIRTIO_MMIO_STATUS, RUNNING);
    assert!(machine.device.server.link.doorbell().read().unwrap() > 0);
    machine.device.server.serve();
    assert_eq!(machine.used(), 1);
}

#[test]
fn a_queue_that_cannot_be_is_refused_when_it_is_described() {
    let right = [TABLE, AVAILABLE, USED];
    for (what, size, addresses) in [
        ("no entry", 0, right),
        ("no power of two", 7, right),
        ("more than the most", 256, right),
        ("more than 16 bits", 0x1_0008, right),
        ("a table outside of memory", 8, [0x1_4000, AVAILABLE, USED]),
        ("a table over the end", 8, [0x1_3fc0, AVAILABLE, USED]),
        ("a ring in the hole", 8, [TABLE, 0x9000, USED]),
        (
            "a ring at the end of everything",
            8,
            [TABLE, AVAILABLE, u64::MAX - 3],
        ),
        ("an odd table", 8, [TABLE + 8, AVAILABLE, USED]),
        ("an odd ring", 8, [TABLE, AVAILABLE + 1, USED]),
    ] {
        let mut machine = Machine::new(&guest(read()));
        machine.agree();
        machine.describe_queue(size, addresses);
        assert_eq!(machine.get(VIRTIO_MMIO_QUEUE_READY), 0, "{what}");
        assert_eq!(machine.status() & NEEDS_RESET, NEEDS_RESET, "{what}");
        machine.set(VIRTIO_MMIO_STATUS, RUNNING);
        machine.device.server.serve();
        assert_eq!(machine.used(), 0, "{what}");
    }
}

#[test]
fn a_step_out_of_order_stops_the_device() {
    for (what, steps) in [
        ("driver first", &[DRIVER][..]),
        (
            "started without features",
            &[
                ACKNOWLEDGE,
                ACKNOWLEDGE | DRIVER,
                ACKNOWLEDGE | DRIVER | DRIVER_OK,
            ],
        ),
        ("a step back", &[ACKNOWLEDGE, ACKNOWLEDGE | DRIVER, ACKNOWLEDGE]),
    ] {
        let mut machine = Machine::new(&guest(read()));
        for step in steps {
            machine.set(VIRTIO_MMIO_STATUS, *step);
        }
        assert_eq!(machine.status() & NEEDS_RESET, NEEDS_RESET, "{what}");
    }
    let mut machine = Machine::new(&guest(read()));
    machine.describe_queue(8, [TABLE, AVAILABLE, USED]);
    assert_eq!(machine.status(), NEEDS_RESET, "ready before the features");
}

/// Or a driver would use what the device does not do.
#[test]
fn features_that_were_not_offered_are_not_accepted() {
    for (select, features) in [(0, 1 << 31), (1, 1 | 1 << 2), (1, 0)] {
        let mut machine = Machine::new(&guest(read()));
        machine.set(VIRTIO_MMIO_STATUS, ACKNOWLEDGE);
        machine.set(VIRTIO_MMIO_STATUS, ACKNOWLEDGE | DRIVER);
        machine.set(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
        machine.set(VIRTIO_MMIO_DRIVER_FEATURES, 1);
        machine.set(VIRTIO_MMIO_DRIVER_FEATURES_SEL, select);
        machine.set(VIRTIO_MMIO_DRIVER_FEATURES, features);
        machine.set(VIRTIO_MMIO_STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
        assert_eq!(machine.status(), ACKNOWLEDGE | DRIVER, "{select} {features:#x}");
    }
}

#[test]
fn the_configuration_ends_where_it_ends() {
    let mut machine = Machine::new(&guest(read()));
    let mut read = |offset: u64, size: usize| {
        let mut data = vec![0xaa; size];
        machine.registers.read(offset, &mut data);
        data
    };
    let config = u64::from(VIRTIO_MMIO_CONFIG);
    assert_eq!(read(config, 8), SECTORS.to_le_bytes());
    assert_eq!(read(config + 12, 4), 126_u32.to_le_bytes());
    assert_eq!(read(config + 14, 8), [0; 8]);
    assert_eq!(read(config + 0xe00, 4), [0; 4]);
    assert_eq!(read(u64::MAX, 8), [0; 8]);
    // Registers are read whole or not at all.
    assert_eq!(read(0, 4), *b"virt");
    assert_eq!(read(0, 2), [0; 2]);
    assert_eq!(read(1, 4), [0; 4]);
}

#[derive(Debug, Clone)]
enum Action {
    Write(u64, Vec<u8>),
    Read(u64, usize),
    Start,
    Serve,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let values = prop_oneof![
        0..16_u32,
        Just(RUNNING),
        (0..0x1000_u32).prop_map(|n| n * 16),
        any::<u32>()
    ];
    let registers = (0..0x44_u64).prop_map(|number| number * 4);
    let action = prop_oneof![
        8 => (registers, values).prop_map(|(register, value)| Action::Write(register, value.to_le_bytes().into())),
        1 => (any::<u64>(), proptest::collection::vec(any::<u8>(), 1..9)).prop_map(|(at, data)| Action::Write(at, data)),
        2 => (0..0x200_u64, 1..9_usize).prop_map(|(at, size)| Action::Read(at, size)),
        2 => Just(Action::Start),
        2 => Just(Action::Serve),
    ];
    proptest::collection::vec(action, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever was done to its registers, a reset makes the device as good as new.
    #[test]
    fn any_accesses_are_survived_and_a_reset_cures_them(actions in actions()) {
        thread_local! {
            static MACHINE: std::cell::RefCell<Machine> = std::cell::RefCell::new(Machine::new(&guest(read())));
        }
        MACHINE.with_borrow_mut(|machine| {
            for action in actions {
                match action {
                    Action::Write(at, data) => machine.registers.write(at, &data),
                    Action::Read(at, size) => machine.registers.read(at, &mut vec![0; size]),
                    Action::Start => machine.start(),
                    Action::Serve => machine.device.server.serve(),
                }
            }
            let memory = &machine.device.server.memory;
            memory.write_slice(&[0; 0x1000], GuestAddress(0)).unwrap();
            guest(read()).write(memory);
            machine.start();
            prop_assert_eq!(machine.status(), RUNNING);
            machine.device.server.serve();
            prop_assert_eq!(machine.used(), 1);
            Ok(())
        })?;
    }
}
