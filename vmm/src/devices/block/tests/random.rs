//! Guests by chance: thousands of them, each a request that would be right with up to two faults in it.

use super::model::Step;
use super::{Descriptor, Device, Guest, HEADER, INDIRECT, INDIRECT_FLAG, NEXT, SECTORS, TABLE, USED, WRITE};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::cell::RefCell;
use std::collections::BTreeMap;

fn addresses() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 0x3000..0x7000_u64,
        2 => prop_oneof![Just(HEADER), Just(TABLE), Just(INDIRECT), Just(USED)],
        // Around the ends of the pieces of memory.
        2 => prop_oneof![0x7f00..0x8100_u64, 0x1_0000..0x1_0100_u64, 0x1_3f00..0x1_4100_u64],
        1 => u64::MAX - 0x1000..=u64::MAX,
        1 => any::<u64>(),
    ]
}

fn lengths() -> impl Strategy<Value = u32> {
    prop_oneof![
        6 => (1..5_u32).prop_map(|sectors| sectors * 512),
        3 => prop_oneof![Just(0), Just(1), Just(15), Just(16), Just(17), Just(20), Just(21), Just(511)],
        1 => (0..16_u32).prop_map(|count| count * 16),
        1 => 0..0x9000_u32,
        1 => any::<u32>(),
    ]
}

fn kinds() -> impl Strategy<Value = u32> {
    prop_oneof![4 => Just(0), 4 => Just(1), 1 => Just(4), 1 => Just(8), 1 => any::<u32>()]
}

fn sectors() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0..SECTORS, 1 => SECTORS - 2..SECTORS + 2, 1 => any::<u64>(), 1 => u64::MAX - 2..=u64::MAX]
}

/// What a driver would put into a table: header, data, status.
fn sane(kind: u32, data: &[(u64, u32)]) -> Vec<Descriptor> {
    let from_device = if kind == 1 { 0 } else { WRITE };
    let parts = [(HEADER, 16, 0)].into_iter();
    let parts = parts.chain(data.iter().map(|(at, length)| (*at, *length, from_device)));
    let parts: Vec<_> = parts.chain([(0x7000, 1, WRITE)]).collect();
    let last = parts.len() - 1;
    let descriptor = |(index, (address, length, flags)): (usize, (u64, u32, u16))| Descriptor {
        address,
        length,
        flags: flags | if index == last { 0 } else { NEXT },
        next: index as u16 + 1,
    };
    parts.into_iter().enumerate().map(descriptor).collect()
}

#[derive(Debug, Clone)]
enum Fault {
    Address(u64),
    Length(u32),
    Flags(u16),
    Next(u16),
}

fn faults() -> impl Strategy<Value = Vec<(usize, Fault)>> {
    let fault = prop_oneof![
        addresses().prop_map(Fault::Address),
        lengths().prop_map(Fault::Length),
        (0..8_u16).prop_map(Fault::Flags),
        (0..10_u16).prop_map(Fault::Next),
    ];
    proptest::collection::vec((0..8_usize, fault), 0..3)
}

fn spoil(table: &mut [Descriptor], faults: Vec<(usize, Fault)>) {
    let count = table.len();
    for (place, fault) in faults {
        let descriptor = &mut table[place % count];
        match fault {
            Fault::Address(address) => descriptor.address = address,
            Fault::Length(length) => descriptor.length = length,
            Fault::Flags(flags) => descriptor.flags = flags,
            Fault::Next(next) => descriptor.next = next,
        }
    }
}

/// Guests, and whether their disk is only read.
fn guests() -> impl Strategy<Value = (Guest, bool)> {
    let data = proptest::collection::vec((0x3000..0x6000_u64, (1..4_u32).prop_map(|n| n * 512)), 0..3);
    let queue = (
        proptest::collection::vec(prop_oneof![8 => Just(0), 1 => 0..10_u16], 1..4),
        0..10_u16,
    );
    let request = (kinds(), sectors(), data, any::<bool>(), faults());
    let choices = (
        request,
        queue,
        proptest::bool::weighted(0.2),
        proptest::bool::weighted(0.2),
    );
    choices.prop_map(|(request, (heads, extra), is_read_only, is_any_count)| {
        let (kind, sector, data, is_indirect, faults) = request;
        let (mut chain, mut indirect) = (sane(kind, &data), Vec::new());
        if is_indirect {
            let refers = Descriptor {
                address: INDIRECT,
                length: chain.len() as u32 * 16,
                flags: INDIRECT_FLAG,
                next: 0,
            };
            (chain, indirect) = (vec![refers], chain);
            if faults.len() < 2 {
                spoil(&mut indirect, faults);
            } else {
                spoil(&mut chain, faults);
            }
        } else {
            spoil(&mut chain, faults);
        }
        let available = if is_any_count { extra } else { heads.len() as u16 };
        let guest = Guest {
            table: chain,
            indirect,
            kind,
            sector,
            heads,
            available,
        };
        (guest, is_read_only)
    })
}

/// Chance must not spend its thousands of tries on requests that all end alike.
#[test]
fn whatever_a_guest_asks_for_is_answered_as_the_model_says() {
    let mut runner = TestRunner::new(Config {
        cases: 4_000,
        failure_persistence: None,
        ..Config::default()
    });
    let devices = [false, true].map(|is_read_only| RefCell::new(Device::new(is_read_only)));
    let tally = RefCell::new(BTreeMap::<String, u32>::new());
    let ran = runner.run(&guests(), |(guest, is_read_only)| {
        for step in devices[usize::from(is_read_only)].borrow_mut().compare(&guest) {
            let name = match step {
                Step::Done((kind @ (0 | 1 | 4 | 8), status)) => format!("type {kind}, status {status}"),
                Step::Done((u32::MAX, status)) => format!("no header, status {status}"),
                Step::Done((_, status)) => format!("unknown type, status {status}"),
                Step::Idle => continue,
                Step::Stopped => "stopped".into(),
            };
            *tally.borrow_mut().entry(name).or_default() += 1;
        }
        Ok(())
    });
    ran.unwrap();
    let tally = tally.into_inner();
    for (name, least) in [
        ("type 0, status 0", 200),
        ("type 0, status 1", 100),
        ("type 1, status 0", 200),
        ("type 1, status 1", 100),
        ("type 4, status 0", 50),
        ("type 8, status 0", 5),
        ("type 8, status 1", 20),
        ("unknown type, status 2", 50),
        ("no header, status 1", 20),
        ("stopped", 200),
    ] {
        assert!(
            tally.get(name).is_some_and(|count| *count >= least),
            "{name}: {tally:?}"
        );
    }
}
