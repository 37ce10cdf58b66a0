//! The buckets of one histogram, row by row: each row as what changed since the one before.
//!
//! A row is the number of buckets that changed, and for each the number of buckets skipped since the
//! last one and the difference, zigzag; all LEB128. The row before the first is all zeros.

use super::input::{Input, Malformed, unzigzag, varint_len, zigzag};
use crate::store::{BucketCounts, write_varint};

/// Bytes of all bucket counts of a run together, as [`BucketCounts`].
pub(super) const BYTES_MAX: usize = 16 << 20;

/// Appends the rows, after their length. Buckets beyond `bucket_count` are left out.
pub(super) fn encode<'a>(
    bytes: &mut Vec<u8>,
    bucket_count: u32,
    rows: impl Iterator<Item = &'a BucketCounts>,
) {
    let mut before = vec![0u64; bucket_count as usize];
    let mut now = before.clone();
    let (mut block, mut changes) = (Vec::new(), Vec::new());
    for row in rows {
        now.fill(0);
        for (index, count) in row.iter() {
            if let Some(bucket) = now.get_mut(index as usize) {
                *bucket = count;
            }
        }
        changes.clear();
        let (mut changed, mut skipped) = (0, 0);
        for (&old, &new) in before.iter().zip(&now) {
            if old == new {
                skipped += 1;
                continue;
            }
            write_varint(&mut changes, skipped);
            write_varint(&mut changes, zigzag(new.wrapping_sub(old).cast_signed()));
            (changed, skipped) = (changed + 1, 0);
        }
        write_varint(&mut block, changed);
        block.extend_from_slice(&changes);
        std::mem::swap(&mut before, &mut now);
    }
    write_varint(bytes, block.len() as u64);
    bytes.extend_from_slice(&block);
}

/// Bytes of the rows and their length at most. A bucket that changed takes a byte for the buckets skipped, and those that
/// need more have been skipped themselves; its difference takes up to ten.
pub(super) fn len_max(rows: usize, bucket_count: u32) -> usize {
    let bucket_count = u64::from(bucket_count);
    let row = varint_len(bucket_count) + 11 * bucket_count as usize;
    varint_len((rows * row) as u64) + rows * row
}

/// The rows of a block. `bytes_left` bounds what they may take in memory.
pub(super) fn decode(
    input: &mut Input<'_>,
    bucket_count: u32,
    rows: usize,
    bytes_left: &mut usize,
) -> Result<Vec<BucketCounts>, Malformed> {
    let mut block = Input(input.bytes()?);
    let mut counts = vec![0u64; bucket_count as usize];
    let mut decoded = Vec::new();
    for _ in 0..rows {
        let mut next = 0usize;
        for _ in 0..block.varint()? {
            let beyond = Malformed("a histogram has more buckets than its layout says");
            let skipped = usize::try_from(block.varint()?).map_err(|_| beyond)?;
            let index = next.checked_add(skipped).ok_or(beyond)?;
            let bucket = counts.get_mut(index).ok_or(beyond)?;
            *bucket = bucket.wrapping_add(unzigzag(block.varint()?).cast_unsigned());
            next = index + 1;
        }
        let row = BucketCounts::from_dense(&counts);
        *bytes_left = bytes_left
            .checked_sub(row.as_bytes().len())
            .ok_or(Malformed("the buckets of a run are too large"))?;
        decoded.push(row);
    }
    block.end()?;
    Ok(decoded)
}

/// Steps over a block.
pub(super) fn skip(input: &mut Input<'_>) -> Result<(), Malformed> {
    input.bytes().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_come_back(rows in prop::collection::vec(prop::collection::vec(prop_oneof![3 => Just(0u64), 1 => any::<u64>()], 40), 0..10)) {
            let rows: Vec<BucketCounts> = rows.iter().map(|counts| BucketCounts::from_dense(counts)).collect();
            let mut bytes = Vec::new();
            encode(&mut bytes, 40, rows.iter());
            let mut input = Input(&bytes);
            prop_assert_eq!(decode(&mut input, 40, rows.len(), &mut BYTES_MAX.clone()).unwrap(), rows);
            prop_assert_eq!(input.end(), Ok(()));
        }

        #[test]
        fn any_bytes_are_rows_or_malformed(bytes in prop::collection::vec(prop_oneof![0u8..4, any::<u8>()], 0..60), rows in 0usize..20) {
            let mut bytes_left = 100;
            if let Ok(decoded) = decode(&mut Input(&bytes), 12, rows, &mut bytes_left) {
                prop_assert_eq!(decoded.len(), rows);
                prop_assert!(decoded.iter().map(|row| row.as_bytes().len()).sum::<usize>() <= 100);
            }
        }
    }

    #[test]
    fn an_idle_row_is_one_byte() {
        let row = BucketCounts::from_dense(&[0, 3, 0, 1]);
        let mut bytes = Vec::new();
        encode(&mut bytes, 4, [&row, &row].into_iter());
        assert_eq!(bytes, [6, 2, 1, 6, 1, 2, 0]);
    }
}
