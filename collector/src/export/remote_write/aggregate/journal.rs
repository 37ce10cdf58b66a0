//! The engine's state as bytes: what changed, and everything.
//!
//! Changes say what *is*, not what was added, so bytes that are replayed twice do no harm. They are replayed in
//! order, onto the state that they were made after. A record is:
//!
//! | | |
//! |---|---|
//! | version | 1 byte |
//! | step in ms, then the mark and 1 (0 for none) | LEB128 |
//! | numbers of groups that are gone | a count, then LEB128 each |
//! | groups | a count, then each by number |
//!
//! and a group: its number; flags (1: new, 2: live, 4: has reported); if new its kind and labels; for a counter its
//! total; the last window if it has reported; a count of open windows, then each window and what is known of it.
//! Windows that the mark has passed are not open any more, which is not said.
//!
//! Whoever reads them trusts nothing: see [`Aggregator::apply`].

use super::amount::Amount;
use super::coding::{Input, JournalError, VERSION, write_amount, write_count};
use super::engine::Aggregator;
use super::group::{Cell, Group, Kind};
use crate::store::write_varint;
use rondo_shm_layout::Labels;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

const NEW: u8 = 1;
const LIVE: u8 = 2;
const REPORTED: u8 = 4;

impl Aggregator {
    /// What changed since this was asked for the last time; empty if nothing has. The caller makes it durable
    /// together with what it says was taken in and emitted.
    pub fn changes(&mut self) -> Vec<u8> {
        let pending = std::mem::take(&mut self.journal);
        if pending.changed.is_empty() && pending.removed.is_empty() && !pending.mark_moved {
            return Vec::new();
        }
        let mut bytes = self.head(&pending.removed);
        write_count(&mut bytes, pending.changed.len());
        for number in &pending.changed {
            let Some(group) = self.groups.get_mut(number) else {
                continue; // none: what is removed is not among the changed
            };
            write_group(&mut bytes, *number, group, !group.is_written, |window| {
                group.touched.contains(&window)
            });
            group.is_written = true;
            group.touched.clear();
        }
        bytes
    }

    /// Everything, as changes of an engine that knows nothing.
    pub fn snapshot(&self) -> Vec<u8> {
        let mut bytes = self.head(&BTreeSet::new());
        write_count(&mut bytes, self.groups.len());
        for (number, group) in &self.groups {
            write_group(&mut bytes, *number, group, true, |_| true);
        }
        bytes
    }

    fn head(&self, removed: &BTreeSet<u64>) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        write_varint(&mut bytes, self.times.step_ms);
        write_varint(&mut bytes, self.mark.map_or(0, |mark| mark + 1));
        write_count(&mut bytes, removed.len());
        removed
            .iter()
            .for_each(|number| write_varint(&mut bytes, *number));
        bytes
    }

    /// Replays changes, or a snapshot onto an engine that knows nothing. What it takes in counts as written down.
    /// Takes memory in proportion to the bytes.
    ///
    /// # Errors
    /// The bytes are not changes that can follow this state, or of more than the engine may hold. Then it stays as it
    /// is.
    pub fn apply(&mut self, bytes: &[u8]) -> Result<(), JournalError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let record = self.read(bytes)?;
        self.check(&record)?;
        self.commit(record);
        Ok(())
    }

    fn read(&self, bytes: &[u8]) -> Result<Record, JournalError> {
        let mut input = Input(bytes);
        let version = input.byte()?;
        if version != VERSION {
            return Err(JournalError::Version(version));
        }
        let (found, expected) = (input.number()?, self.times.step_ms);
        if found != expected {
            return Err(JournalError::Step { found, expected });
        }
        let mark = input.number()?.checked_sub(1);
        if mark < self.mark || mark.is_some_and(|mark| mark > self.times.window_max()) {
            return Err(JournalError::Malformed("windows are emitted twice or never"));
        }
        let mut record = Record {
            mark,
            removed: BTreeSet::new(),
            groups: BTreeMap::new(),
        };
        for _ in 0..input.number()? {
            record.removed.insert(input.number()?);
        }
        for _ in 0..input.number()? {
            let number = input.number()?;
            let group = self.read_group(&mut input, number, &record)?;
            if record.groups.insert(number, group).is_some() {
                return Err(JournalError::Malformed("a group is there twice"));
            }
        }
        match input.0 {
            [] => Ok(record),
            _ => Err(JournalError::Malformed("something follows the end")),
        }
    }

    fn read_group(
        &self,
        input: &mut Input<'_>,
        number: u64,
        record: &Record,
    ) -> Result<GroupRecord, JournalError> {
        let flags = input.byte()?;
        if flags & !(NEW | LIVE | REPORTED) != 0 || flags & (LIVE | REPORTED) == LIVE {
            return Err(JournalError::Malformed("unknown flags"));
        }
        let known = self
            .groups
            .get(&number)
            .filter(|_| !record.removed.contains(&number));
        let (kind, labels) = if flags & NEW != 0 {
            let kind = Kind::ALL.get(usize::from(input.byte()?));
            let kind = *kind.ok_or(JournalError::Malformed("unknown kind of group"))?;
            let labels = input.labels()?;
            if known.is_some_and(|group| group.kind != kind || *group.labels != labels) {
                return Err(JournalError::Malformed("two groups have one number"));
            }
            (kind, Some(labels))
        } else {
            let group = known.ok_or(JournalError::Malformed("changes of a group that is not there"))?;
            (group.kind, None)
        };
        let total = match kind {
            Kind::Counter => input.amount()?,
            Kind::Sum | Kind::Min | Kind::Max => Amount::default(),
        };
        let last = (flags & REPORTED != 0).then(|| input.number()).transpose()?;
        if last > record.mark {
            return Err(JournalError::Malformed("a window is emitted before its time"));
        }
        let mut cells = BTreeMap::new();
        for _ in 0..input.number()? {
            let window = input.number()?;
            let cell = match kind {
                Kind::Counter => Cell::Growth(input.amount()?),
                Kind::Sum | Kind::Min | Kind::Max => Cell::Value(input.value()?),
            };
            let is_open = Some(window) > record.mark && window <= self.times.window_max();
            if !is_open || cells.insert(window, cell).is_some() {
                return Err(JournalError::Malformed("a window is not open, or there twice"));
            }
        }
        Ok(GroupRecord {
            kind,
            labels,
            total,
            last,
            is_live: flags & LIVE != 0,
            cells,
        })
    }

    /// Whether the result is within bounds, and no two groups have the same labels.
    fn check(&self, record: &Record) -> Result<(), JournalError> {
        let stays = |number: &u64| !record.removed.contains(number);
        let (mut group_count, mut cell_count) = (record.groups.len(), 0);
        for (number, group) in self.groups.iter().filter(|(number, _)| stays(number)) {
            let changed = record.groups.get(number);
            group_count += usize::from(changed.is_none());
            let is_kept = |window: &&u64| changed.is_none_or(|changed| !changed.cells.contains_key(window));
            cell_count += group.open_after(record.mark).filter(is_kept).count();
        }
        cell_count += record
            .groups
            .values()
            .map(|group| group.cells.len())
            .sum::<usize>();
        if group_count > self.bounds.groups || cell_count > self.bounds.cells {
            return Err(JournalError::Malformed(
                "there are more groups or windows than there can be",
            ));
        }
        let mut seen = HashSet::new();
        for (number, group) in &record.groups {
            let Some(labels) = &group.labels else { continue };
            let other = self
                .numbers
                .get(labels)
                .filter(|other| *other != number && stays(other));
            if other.is_some() || !seen.insert(labels) {
                return Err(JournalError::Malformed("two groups have the same labels"));
            }
        }
        Ok(())
    }

    fn commit(&mut self, record: Record) {
        for number in record.removed {
            if let Some(group) = self.groups.remove(&number) {
                self.numbers.remove(&group.labels);
            }
        }
        for (number, changed) in record.groups {
            let labels = changed.labels.map(Arc::new);
            let group = match labels {
                Some(labels) => self.groups.entry(number).or_insert_with(|| {
                    self.numbers.insert(Arc::clone(&labels), number);
                    Group::new(labels, changed.kind)
                }),
                None => match self.groups.get_mut(&number) {
                    Some(group) => group,
                    None => continue, // none: it was looked for
                },
            };
            (group.total, group.last, group.is_live) = (changed.total, changed.last, changed.is_live);
            group.cells.extend(changed.cells);
            group.is_written = true;
        }
        self.mark = record.mark;
        for group in self.groups.values_mut() {
            group.cells.retain(|window, _| Some(*window) > record.mark);
        }
        self.cell_count = self.groups.values().map(|group| group.cells.len()).sum();
    }
}

impl Group {
    /// Windows that are still open when the mark is there.
    fn open_after(&self, mark: Option<u64>) -> impl Iterator<Item = &u64> {
        self.cells.keys().filter(move |window| Some(**window) > mark)
    }
}

/// What bytes say.
struct Record {
    mark: Option<u64>,
    removed: BTreeSet<u64>,
    groups: BTreeMap<u64, GroupRecord>,
}

struct GroupRecord {
    kind: Kind,
    /// If it is new.
    labels: Option<Labels>,
    total: Amount,
    last: Option<u64>,
    is_live: bool,
    cells: BTreeMap<u64, Cell>,
}

fn write_group(
    bytes: &mut Vec<u8>,
    number: u64,
    group: &Group,
    is_new: bool,
    is_written: impl Fn(u64) -> bool,
) {
    write_varint(bytes, number);
    let flag = |flag: u8, is_set: bool| if is_set { flag } else { 0 };
    bytes.push(flag(NEW, is_new) | flag(LIVE, group.is_live) | flag(REPORTED, group.last.is_some()));
    if is_new {
        bytes.push(group.kind as u8);
        write_count(bytes, group.labels.len());
        for (name, value) in group.labels.iter() {
            for text in [name, value] {
                write_count(bytes, text.len());
                bytes.extend_from_slice(text.as_bytes());
            }
        }
    }
    if group.kind == Kind::Counter {
        write_amount(bytes, group.total);
    }
    if let Some(last) = group.last {
        write_varint(bytes, last);
    }
    let cells = || group.cells.iter().filter(|(window, _)| is_written(**window));
    write_count(bytes, cells().count());
    for (window, cell) in cells() {
        write_varint(bytes, *window);
        match cell {
            Cell::Growth(growth) => write_amount(bytes, *growth),
            Cell::Value(value) => bytes.extend_from_slice(&value.to_le_bytes()),
        }
    }
}

#[cfg(test)]
mod tests;
