//! Tables that somebody thought of: each known trick once, with what has to become of it.

use super::model::Step::{self, Done, Stopped};
use super::{
    AVAILABLE, Descriptor, Device, Guest, HEADER, INDIRECT, INDIRECT_FLAG, NEXT, SECTORS, TABLE, USED, WRITE,
};

const READ: u32 = 0;
const TO_DISK: u32 = 1;
const OK: u8 = 0;
const FAILED: u8 = 1;

pub(super) fn descriptor(address: u64, length: u32, flags: u16, next: u16) -> Descriptor {
    Descriptor {
        address,
        length,
        flags,
        next,
    }
}

/// Header, data and status, as they should be.
pub(super) fn read() -> Vec<Descriptor> {
    vec![
        descriptor(HEADER, 16, NEXT, 1),
        descriptor(0x3000, 512, NEXT | WRITE, 2),
        descriptor(0x7000, 1, WRITE, 0),
    ]
}

fn changed(change: impl FnOnce(&mut Vec<Descriptor>)) -> Vec<Descriptor> {
    let mut table = read();
    change(&mut table);
    table
}

pub(super) fn guest(table: Vec<Descriptor>) -> Guest {
    Guest {
        table,
        indirect: read(),
        kind: READ,
        sector: 1,
        heads: vec![0],
        available: 1,
    }
}

#[test]
fn each_trick_ends_as_it_should() {
    let write = |table: &mut Vec<Descriptor>| table[1].flags = NEXT;
    let indirect = |length| vec![descriptor(INDIRECT, length, INDIRECT_FLAG, 0)];
    let tricks: Vec<(&str, Guest, Step)> = vec![
        ("nothing wrong", guest(read()), Done((READ, OK))),
        (
            "a descriptor that is its own next",
            guest(changed(|t| t[1].next = 1)),
            Stopped,
        ),
        (
            "a loop over the whole chain",
            guest(changed(|t| (t[2].flags, t[2].next) = (WRITE | NEXT, 1))),
            Stopped,
        ),
        (
            "a next outside of the table",
            guest(changed(|t| t[0].next = 8)),
            Stopped,
        ),
        (
            "a head outside of the table",
            Guest {
                heads: vec![8],
                ..guest(read())
            },
            Stopped,
        ),
        (
            "a head far outside",
            Guest {
                heads: vec![u16::MAX],
                ..guest(read())
            },
            Stopped,
        ),
        (
            "more requests than the queue has room for",
            Guest {
                available: 9,
                ..guest(read())
            },
            Stopped,
        ),
        (
            "data past the end of memory",
            guest(changed(|t| t[1].address = 0x1_3fff)),
            Stopped,
        ),
        (
            "data over the hole",
            guest(changed(|t| t[1].address = 0x7fff)),
            Stopped,
        ),
        (
            "data that wrap around",
            guest(changed(|t| t[1].address = u64::MAX - 10)),
            Stopped,
        ),
        (
            "4 GiB of data",
            guest(changed(|t| t[1].length = u32::MAX)),
            Stopped,
        ),
        (
            "data that add up to more than 4 GiB",
            guest(changed(|t| {
                t[0].length = 1 << 31;
                t[1].length = 1 << 31;
            })),
            Stopped,
        ),
        (
            "no data",
            guest(changed(|t| t[1].length = 0)),
            Done((READ, FAILED)),
        ),
        (
            "half a sector",
            guest(changed(|t| t[1].length = 256)),
            Done((READ, FAILED)),
        ),
        (
            "no place for the status",
            guest(changed(|t| t[2].length = 0)),
            Done((READ, FAILED)),
        ),
        (
            "nothing to write to at all",
            guest(vec![descriptor(HEADER, 16, 0, 0)]),
            Stopped,
        ),
        (
            "an empty chain",
            guest(vec![descriptor(HEADER, 0, 0, 0)]),
            Stopped,
        ),
        (
            "half a header",
            guest(changed(|t| t[0].length = 15)),
            Done((u32::MAX, FAILED)),
        ),
        (
            "a header for the device to write",
            guest(changed(|t| t[0].flags |= WRITE)),
            Done((u32::MAX, FAILED)),
        ),
        (
            "a header in the hole",
            guest(changed(|t| t[0].address = 0x9000)),
            Stopped,
        ),
        (
            "data for the device after data from it",
            guest(changed(|t| t[2].flags = 0)),
            Stopped,
        ),
        (
            "a sector past the end",
            Guest {
                sector: SECTORS,
                ..guest(read())
            },
            Done((READ, FAILED)),
        ),
        (
            "a sector whose offset overflows",
            Guest {
                sector: u64::MAX / 512,
                ..guest(read())
            },
            Done((READ, FAILED)),
        ),
        (
            "the last sector there is",
            Guest {
                sector: u64::MAX,
                ..guest(read())
            },
            Done((READ, FAILED)),
        ),
        (
            "a write past the end",
            Guest {
                kind: TO_DISK,
                sector: SECTORS,
                ..guest(changed(write))
            },
            Done((TO_DISK, FAILED)),
        ),
        ("a table elsewhere", guest(indirect(48)), Done((READ, OK))),
        ("an empty table elsewhere", guest(indirect(0)), Stopped),
        ("a table of two and a half", guest(indirect(40)), Stopped),
        (
            "a table of more than there can be",
            guest(indirect(0xffff_fff0)),
            Stopped,
        ),
        ("a table that ends too soon", guest(indirect(32)), Stopped),
        (
            "a table elsewhere that is this one",
            guest(vec![descriptor(TABLE, 16, INDIRECT_FLAG, 0)]),
            Stopped,
        ),
        (
            "a table that refers to a table",
            Guest {
                indirect: vec![descriptor(INDIRECT, 16, INDIRECT_FLAG, 0)],
                ..guest(indirect(16))
            },
            Stopped,
        ),
        (
            "a table in the hole",
            guest(vec![descriptor(0x9000, 48, INDIRECT_FLAG, 0)]),
            Stopped,
        ),
        (
            "data over the descriptors",
            guest(changed(|t| t[1].address = TABLE)),
            Done((READ, OK)),
        ),
        (
            "data over the rings",
            guest(changed(|t| t[1].address = AVAILABLE)),
            Done((READ, OK)),
        ),
        (
            "a status in the used ring",
            guest(changed(|t| t[2].address = USED)),
            Done((READ, OK)),
        ),
        (
            "the same request as often as fits",
            Guest {
                heads: vec![0; 8],
                available: 8,
                ..guest(read())
            },
            Done((READ, OK)),
        ),
    ];
    let mut device = Device::new(false);
    for (trick, guest, expected) in tricks {
        assert_eq!(device.compare(&guest)[0], expected, "{trick}");
    }
}

/// The model's disk does not change either, which `compare` looks at.
#[test]
fn a_disk_that_is_only_read_refuses_writes_and_nothing_else() {
    let mut device = Device::new(true);
    let write = Guest {
        kind: TO_DISK,
        ..guest(changed(|table| table[1].flags = NEXT))
    };
    assert_eq!(device.compare(&write)[0], Done((TO_DISK, FAILED)));
    assert_eq!(device.compare(&guest(read()))[0], Done((READ, OK)));
    assert_eq!(Device::new(false).compare(&write)[0], Done((TO_DISK, OK)));
}
