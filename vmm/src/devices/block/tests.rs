//! The device against guests of every kind: what an obvious model of it says is what it does.
//!
//! Guest memory and descriptor tables are half sane, so that requests get through, and half not. After each step
//! the two must agree on the whole memory, the whole disk, and on whether the device has stopped. A panic, an access
//! out of bounds or a request that gets away with what it should not shows as a difference.

mod hostile;
mod life;
mod model;
mod random;

use super::{BlockServer, Disk, DiskConfig};
use crate::devices::virtio::Link;
use crate::ending::EndRequest;
use crate::metrics::{MetricsConfig, MetricsSet, VmMetrics};
use model::{Model, Step};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use tempfile::NamedTempFile;
use virtio_queue::{Queue, QueueT};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

/// Of guest memory: two pieces with a hole in between.
const PIECES: [(u64, usize); 2] = [(0, 0x8000), (0x1_0000, 0x4000)];
const QUEUE_SIZE: u16 = 8;
const TABLE: u64 = 0x0;
const AVAILABLE: u64 = 0x400;
const USED: u64 = 0x800;
/// Another table, for descriptors that refer to one.
const INDIRECT: u64 = 0x1000;
const HEADER: u64 = 0x2000;
const SECTORS: u64 = 20;

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT_FLAG: u16 = 4;

#[derive(Debug, Clone, Copy)]
struct Descriptor {
    address: u64,
    length: u32,
    flags: u16,
    next: u16,
}

impl Descriptor {
    fn bytes(self) -> Vec<u8> {
        let mut bytes = self.address.to_le_bytes().to_vec();
        bytes.extend(self.length.to_le_bytes());
        bytes.extend(self.flags.to_le_bytes());
        bytes.extend(self.next.to_le_bytes());
        bytes
    }
}

/// A guest that has put requests into its queue.
#[derive(Debug, Clone)]
struct Guest {
    table: Vec<Descriptor>,
    indirect: Vec<Descriptor>,
    kind: u32,
    sector: u64,
    heads: Vec<u16>,
    /// How many requests it says there are.
    available: u16,
}

impl Guest {
    fn memory(&self) -> GuestMemoryMmap {
        let ranges = PIECES.map(|(start, size)| (GuestAddress(start), size));
        let memory = GuestMemoryMmap::from_ranges(&ranges).unwrap();
        self.write(&memory);
        memory
    }

    fn write(&self, memory: &GuestMemoryMmap) {
        let write = |bytes: &[u8], at| memory.write_slice(bytes, GuestAddress(at)).unwrap();
        for (table, at) in [(&self.table, TABLE), (&self.indirect, INDIRECT)] {
            write(&table.iter().flat_map(|d| d.bytes()).collect::<Vec<_>>(), at);
        }
        write(&self.kind.to_le_bytes(), HEADER);
        write(&self.sector.to_le_bytes(), HEADER + 8);
        write(&self.available.to_le_bytes(), AVAILABLE + 2);
        let heads: Vec<u8> = self.heads.iter().flat_map(|head| head.to_le_bytes()).collect();
        write(&heads, AVAILABLE + 4);
        // Something to be written to the disk, and to be found again.
        let data: Vec<u8> = (0..0x2000_u32).map(|at| (at % 241) as u8).collect();
        write(&data, 0x3000);
    }
}

/// In memory where there is such a place: a flush of a real disk takes its time.
fn scratch_file() -> NamedTempFile {
    NamedTempFile::new_in("/dev/shm")
        .or_else(|_| NamedTempFile::new())
        .unwrap()
}

fn disk_image() -> Vec<u8> {
    (0..SECTORS * 512).map(|at| (at % 251) as u8).collect()
}

/// The device with a disk, for one guest after the other.
struct Device {
    server: BlockServer,
    file: NamedTempFile,
}

impl Device {
    fn new(is_read_only: bool) -> Self {
        let config = MetricsConfig {
            instance: "vm-1".into(),
            // There can be no such directory, so this is a slab that nobody sees.
            bus: Some("/dev/null/bus".into()),
            set: MetricsSet::Default,
            cpus: 1,
            disks: 1,
            device_series: (0, 0),
        };
        let (mut metrics, _) = VmMetrics::create(&config).unwrap();
        let mut file = scratch_file();
        file.write_all(&disk_image()).unwrap();
        let path = file.path().to_owned();
        let disk = Disk::open(&DiskConfig { path, is_read_only }, "vda").unwrap();
        let link = Arc::new(Link::new().unwrap());
        let end = Arc::new(EndRequest::new().unwrap());
        let (memory, metrics) = (GuestMemoryMmap::new(), metrics.block("vda").unwrap());
        Self {
            server: BlockServer::new(disk, link, memory, end, metrics),
            file,
        }
    }

    /// Lets device and model serve the guest, and gives what came of each request.
    fn compare(&mut self, guest: &Guest) -> Vec<Step> {
        let Self { server, file } = self;
        let (file, memory) = (file.as_file(), guest.memory());
        file.write_all_at(&disk_image(), 0).unwrap();
        server.memory = memory.clone();
        let mut model = Model::new(&memory, disk_image(), server.disk.is_read_only());
        let (mut queue, mut steps) = (queue(), Vec::new());
        // A request can put new ones into the queue, for ever.
        for _ in 0..2 * QUEUE_SIZE {
            let expected = model.step();
            let served = server.serve_one(&mut queue);
            steps.push(expected);
            match expected {
                Step::Stopped => assert!(served.is_err(), "goes on: {guest:?}"),
                Step::Idle => assert!(!served.unwrap()),
                Step::Done(_) => assert!(served.unwrap()),
            }
            let is_same = model.memory == model::copy(&memory);
            assert!(is_same, "memory differs after {steps:?}: {guest:?}");
            let mut disk = vec![0; disk_image().len()];
            file.read_exact_at(&mut disk, 0).unwrap();
            assert!(model.disk == disk, "the disk differs after {steps:?}: {guest:?}");
            assert_eq!(file.metadata().unwrap().len(), SECTORS * 512);
            if !matches!(expected, Step::Done(_)) {
                break;
            }
        }
        steps
    }
}

fn queue() -> Queue {
    let mut queue = Queue::new(QUEUE_SIZE).unwrap();
    queue.try_set_desc_table_address(GuestAddress(TABLE)).unwrap();
    queue.try_set_avail_ring_address(GuestAddress(AVAILABLE)).unwrap();
    queue.try_set_used_ring_address(GuestAddress(USED)).unwrap();
    queue.set_ready(true);
    queue
}
