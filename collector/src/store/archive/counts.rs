//! A column of `known` counts: equal to that of the series before, or what each is above the least.

use super::bits::{pack, packed_len, unpack, width_of};
use super::input::{Input, Malformed, varint_len};
use crate::store::write_varint;

/// Instead of a width: the same column as that of the series before.
const SAME: u8 = 0xFF;

/// Appends a column, given that of the series before.
pub(super) fn encode(bytes: &mut Vec<u8>, counts: &[u32], before: Option<&[u32]>) {
    if before == Some(counts) {
        return bytes.push(SAME);
    }
    let least = counts.iter().copied().min().unwrap_or(0);
    let greatest = counts.iter().copied().max().unwrap_or(0);
    let width = width_of(u64::from(greatest - least));
    bytes.push(width as u8);
    write_varint(bytes, u64::from(least));
    pack(bytes, width, counts.iter().map(|count| u64::from(count - least)));
}

/// Bytes of a column at most, if no count is above `count_max`.
pub(super) fn len_max(rows: usize, count_max: u32) -> usize {
    let count_max = u64::from(count_max);
    1 + varint_len(count_max) + packed_len(rows, width_of(count_max))
}

/// A column that is not decoded yet.
#[derive(Clone, Copy)]
pub(super) struct Counts<'a> {
    least: u32,
    width: u32,
    packed: &'a [u8],
}

impl<'a> Counts<'a> {
    /// Steps over a column, given that of the series before.
    pub(super) fn parse(input: &mut Input<'a>, rows: usize, before: Option<Self>) -> Result<Self, Malformed> {
        match input.u8()? {
            SAME => before.ok_or(Malformed("the first column of counts repeats another")),
            width @ 0..=32 => Ok(Self {
                least: input.small()?,
                width: u32::from(width),
                packed: input.take(packed_len(rows, u32::from(width)))?,
            }),
            _ => Err(Malformed("a count is wider than 32 bits")),
        }
    }

    /// The counts, and then zeros above the least for ever.
    pub(super) fn iter(self) -> impl Iterator<Item = u32> {
        unpack(self.packed, self.width).map(move |above| self.least.wrapping_add(above as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counts_come_back(counts in prop::collection::vec(prop_oneof![0u32..4, 290u32..310, any::<u32>()], 0..70), repeats: bool) {
            let mut bytes = Vec::new();
            encode(&mut bytes, &counts, None);
            encode(&mut bytes, &counts, repeats.then_some(&counts));
            let mut input = Input(&bytes);
            let first = Counts::parse(&mut input, counts.len(), None).unwrap();
            let second = Counts::parse(&mut input, counts.len(), Some(first)).unwrap();
            prop_assert_eq!(input.end(), Ok(()));
            for column in [first, second] {
                prop_assert_eq!(column.iter().take(counts.len()).collect::<Vec<_>>(), counts.clone());
            }
        }

        #[test]
        fn any_bytes_are_counts_or_malformed(bytes in prop::collection::vec(any::<u8>(), 0..50), rows in 0usize..500) {
            if let Ok(counts) = Counts::parse(&mut Input(&bytes), rows, None) {
                prop_assert_eq!(counts.iter().take(rows).count(), rows);
            }
        }
    }

    #[test]
    fn columns_are_those_of_the_page() {
        let mut bytes = Vec::new();
        encode(&mut bytes, &[300, 300, 300], None);
        assert_eq!(bytes, [0, 0xAC, 2]);
        encode(&mut bytes, &[9, 10, 10], Some(&[300, 300, 300]));
        assert_eq!(bytes[3..], [1, 9, 0b110]);
    }
}
