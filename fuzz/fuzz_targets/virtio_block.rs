//! A hostile guest at the disk: writes to its memory and to the disk's registers, in any order, and whatever requests
//! come of it.
//!
//! Nothing of it may panic, nor change a disk that is only read, nor the size of one. And whatever was done, a reset cures
//! it: the device then serves a proper request. That the answers are right is what the tests of
//! `vmm/src/devices/block/tests/` compare with a model.
#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use rondo_vmm::EndRequest;
use rondo_vmm::devices::MmioDevice;
use rondo_vmm::devices::block::{BlockServer, Disk, DiskConfig, transport};
use rondo_vmm::devices::virtio::{Link, Transport};
use rondo_vmm::metrics::{MetricsConfig, MetricsSet, VmMetrics};
use std::cell::RefCell;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use tempfile::NamedTempFile;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

/// Of guest memory: two pieces with a hole in between.
const PIECES: [(u64, usize); 2] = [(0, 0x8000), (0x1_0000, 0x4000)];
const SECTORS: u64 = 20;
const QUEUE_SIZE: u16 = 16;
/// Where a driver that knows what it does has its queue.
const TABLE: u64 = 0x0;
const AVAILABLE: u64 = 0x400;
const USED: u64 = 0x800;
const HEADER: u64 = 0x2000;
const DATA: u64 = 0x3000;
const STATUS: u64 = 0x7000;
/// Flags of a descriptor.
const NEXT: u16 = 1;
const WRITE: u16 = 2;

/// Registers (Virtio 1.2, section 4.2.2).
const FEATURES: u64 = 0x020;
const FEATURES_SELECT: u64 = 0x024;
const QUEUE_NUM: u64 = 0x038;
const QUEUE_READY: u64 = 0x044;
const DEVICE_STATUS: u64 = 0x070;
const QUEUE_ADDRESSES: [(u64, u64); 3] = [(0x080, TABLE), (0x090, AVAILABLE), (0x0a0, USED)];

/// What a guest does next.
#[derive(Debug, Arbitrary)]
enum Step {
    /// Writes anything anywhere.
    Write { address: u32, bytes: Vec<u8> },
    /// Writes a descriptor into its table.
    Describe {
        index: u8,
        address: u16,
        high: u8,
        length: u16,
        long: bool,
        flags: u8,
        next: u8,
    },
    /// Writes the header of a request.
    Ask { kind: u8, sector: u8, is_odd: bool },
    /// Makes a request with so many sectors of data, as a driver does; what comes next may spoil it.
    Request { kind: Kind, sector: u8, sectors: u8 },
    /// Offers the chain that starts with a descriptor.
    Offer { head: u8 },
    /// Writes to a register.
    Set { register: u8, value: u32 },
    /// Reads what the device has to say.
    Get { offset: u16, length: u8 },
    /// Lets the device work.
    Serve,
}

#[derive(Debug, Arbitrary, Clone, Copy)]
enum Kind {
    Read = 0,
    Write = 1,
    Flush = 4,
    GetId = 8,
}

#[derive(Debug, Arbitrary)]
struct Guest {
    is_read_only: bool,
    /// Whether its driver starts as it should.
    is_started: bool,
    has_event_index: bool,
    steps: Vec<Step>,
}

/// A disk that one guest after the other has.
struct Machine {
    server: BlockServer,
    file: NamedTempFile,
    memory: GuestMemoryMmap,
    offered: u16,
}

thread_local! {
    static MACHINES: [RefCell<Machine>; 2] = [false, true].map(|is_read_only| RefCell::new(Machine::new(is_read_only)));
}

fn disk_image() -> Vec<u8> {
    (0..SECTORS * 512).map(|at| (at % 251) as u8).collect()
}

impl Machine {
    fn new(is_read_only: bool) -> Self {
        let (mut metrics, _) = VmMetrics::create(&MetricsConfig {
            instance: "vm-1".into(),
            // There can be no such directory, so this is a slab that nobody sees.
            bus: Some("/dev/null/bus".into()),
            set: MetricsSet::Default,
            cpus: 1,
            disks: 1,
            device_series: (0, 0),
        })
        .unwrap();
        let file = NamedTempFile::new_in("/dev/shm")
            .or_else(|_| NamedTempFile::new())
            .unwrap();
        file.as_file().write_all_at(&disk_image(), 0).unwrap();
        let path = file.path().to_owned();
        let disk = Disk::open(&DiskConfig { path, is_read_only }, "vda").unwrap();
        let link = Arc::new(Link::new().unwrap());
        let end = Arc::new(EndRequest::new().unwrap());
        let ranges = PIECES.map(|(start, size)| (GuestAddress(start), size));
        let memory = GuestMemoryMmap::from_ranges(&ranges).unwrap();
        let metrics = metrics.block("vda").unwrap();
        Self {
            server: BlockServer::new(disk, link, memory.clone(), end, metrics),
            file,
            memory,
            offered: 0,
        }
    }

    /// As after power-on.
    fn registers(&mut self) -> Transport {
        for (start, size) in PIECES {
            self.write(start, &vec![0; size]);
        }
        self.offered = 0;
        let server = &self.server;
        let mut registers = transport(&server.disk, self.memory.clone(), server.link.clone());
        set(&mut registers, DEVICE_STATUS, 0);
        registers
    }

    /// Outside of memory it is a guest's access to nothing.
    fn write(&self, address: u64, bytes: &[u8]) {
        let _ = self.memory.write(bytes, GuestAddress(address));
    }

    fn describe(&self, index: u64, address: u64, length: u32, flags: u16, next: u16) {
        let mut bytes = address.to_le_bytes().to_vec();
        bytes.extend(length.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        bytes.extend(next.to_le_bytes());
        self.write(TABLE + 16 * index, &bytes);
    }

    fn ask(&self, kind: u32, sector: u64) {
        self.write(HEADER, &kind.to_le_bytes());
        self.write(HEADER + 8, &sector.to_le_bytes());
    }

    fn offer(&mut self, head: u16) {
        let place = u64::from(self.offered % QUEUE_SIZE);
        self.write(AVAILABLE + 4 + 2 * place, &head.to_le_bytes());
        self.offered = self.offered.wrapping_add(1);
        self.write(AVAILABLE + 2, &self.offered.to_le_bytes());
    }

    fn request(&mut self, kind: Kind, sector: u64, length: u32) {
        let data_flags = if matches!(kind, Kind::Write) {
            NEXT
        } else {
            NEXT | WRITE
        };
        self.ask(kind as u32, sector);
        self.describe(0, HEADER, 16, NEXT, 1);
        self.describe(1, DATA, length, data_flags, 2);
        self.describe(2, STATUS, 1, WRITE, 0);
        self.offer(0);
    }

    /// Serves some requests: one can put another into the queue, for ever.
    fn serve(&mut self) {
        let (link, server, mut count) = (self.server.link.clone(), &mut self.server, 0);
        link.serve(|queue| {
            count += 1;
            Ok(server.serve_one(queue)? && count < 2 * QUEUE_SIZE)
        });
    }

    fn step(&mut self, registers: &mut Transport, step: &Step) {
        match *step {
            Step::Write { address, ref bytes } => self.write(u64::from(address) % 0x1_5000, bytes),
            Step::Describe {
                index,
                address,
                high,
                length,
                long,
                flags,
                next,
            } => {
                let address = u64::from(address) | u64::from(high) << if high < 8 { 16 } else { 56 };
                let length = u32::from(length) << if long { 16 } else { 0 };
                let (index, next) = (u64::from(index % 32), u16::from(next % 32));
                self.describe(index, address, length, u16::from(flags % 8), next);
            }
            Step::Ask { kind, sector, is_odd } => {
                let sector = u64::from(sector) << if is_odd { 56 } else { 0 };
                self.ask(u32::from(kind % 16), sector);
            }
            Step::Request {
                kind,
                sector,
                sectors,
            } => {
                self.request(kind, sector.into(), u32::from(sectors % 8) * 512);
            }
            Step::Offer { head } => self.offer(u16::from(head % 32)),
            Step::Set { register, value } => set(registers, u64::from(register) * 4, value),
            Step::Get { offset, length } => {
                registers.read(offset.into(), &mut vec![0; usize::from(length % 16)])
            }
            Step::Serve => self.serve(),
        }
    }

    /// A read of the first sector.
    fn reads_properly(&mut self) {
        let mut registers = self.registers();
        start(&mut registers, false);
        self.write(STATUS, &[0xff]);
        self.request(Kind::Read, 0, 512);
        self.serve();
        let (mut sector, mut on_disk) = ([0; 512], [0; 512]);
        self.memory.read_slice(&mut sector, GuestAddress(DATA)).unwrap();
        self.file.as_file().read_exact_at(&mut on_disk, 0).unwrap();
        assert_eq!(self.memory.read_obj::<u8>(GuestAddress(STATUS)).unwrap(), 0);
        assert_eq!(self.memory.read_obj::<u16>(GuestAddress(USED + 2)).unwrap(), 1);
        assert!(sector == on_disk, "something else was read");
    }
}

fn set(registers: &mut Transport, register: u64, value: u32) {
    registers.write(register, &value.to_le_bytes());
}

/// What a driver does before its first request.
fn start(registers: &mut Transport, has_event_index: bool) {
    let features = if has_event_index {
        1 << 29 | 1 << 28
    } else {
        1 << 28
    };
    for (register, value) in [
        (DEVICE_STATUS, 1),
        (DEVICE_STATUS, 3),
        (FEATURES_SELECT, 0),
        (FEATURES, features),
        (FEATURES_SELECT, 1),
        (FEATURES, 1),
        (DEVICE_STATUS, 11),
        (QUEUE_NUM, u32::from(QUEUE_SIZE)),
    ] {
        set(registers, register, value);
    }
    for (register, address) in QUEUE_ADDRESSES {
        set(registers, register, address as u32);
    }
    set(registers, QUEUE_READY, 1);
    set(registers, DEVICE_STATUS, 15);
}

fuzz_target!(|guest: Guest| {
    MACHINES.with(|machines| {
        let machine = &mut *machines[usize::from(guest.is_read_only)].borrow_mut();
        let mut registers = machine.registers();
        if guest.is_started {
            start(&mut registers, guest.has_event_index);
        }
        for step in &guest.steps {
            machine.step(&mut registers, step);
        }
        machine.serve();
        machine.reads_properly();

        let file = machine.file.as_file();
        assert_eq!(file.metadata().unwrap().len(), SECTORS * 512);
        if guest.is_read_only {
            let mut disk = vec![0; (SECTORS * 512) as usize];
            file.read_exact_at(&mut disk, 0).unwrap();
            assert!(disk == disk_image(), "a disk that is only read has changed");
        }
    });
});
