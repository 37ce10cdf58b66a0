//! Numbers of equal width, packed without gaps: the first in the lowest bits of the first byte.

/// Bytes that `count` numbers of `width` bits take.
pub(super) fn packed_len(count: usize, width: u32) -> usize {
    (count * width as usize).div_ceil(8)
}

/// Bits that `value` needs.
pub(super) fn width_of(value: u64) -> u32 {
    64 - value.leading_zeros()
}

/// Appends numbers below 2^`width`.
pub(super) fn pack(bytes: &mut Vec<u8>, width: u32, values: impl Iterator<Item = u64>) {
    if width == 0 {
        return;
    }
    // Fewer than 64 bits wait in it, so that 64 more find room.
    let (mut waiting, mut waiting_bits) = (0u128, 0);
    for value in values {
        waiting |= u128::from(value) << waiting_bits;
        waiting_bits += width;
        if waiting_bits >= 64 {
            bytes.extend_from_slice(&(waiting as u64).to_le_bytes());
            waiting >>= 64;
            waiting_bits -= 64;
        }
    }
    let rest = (waiting as u64).to_le_bytes();
    bytes.extend_from_slice(&rest[..waiting_bits.div_ceil(8) as usize]);
}

/// The numbers of `width` bits in `bytes`; zeros after the end.
pub(super) fn unpack(mut bytes: &[u8], width: u32) -> impl Iterator<Item = u64> {
    let (mut waiting, mut waiting_bits) = (0u128, 0);
    let mask = u64::MAX.checked_shr(64 - width).unwrap_or(0);
    std::iter::repeat_with(move || {
        if waiting_bits < width {
            let next = match bytes.split_first_chunk::<8>() {
                Some((chunk, rest)) => {
                    bytes = rest;
                    u64::from_le_bytes(*chunk)
                }
                None => {
                    let tail = bytes
                        .iter()
                        .rev()
                        .fold(0, |word, &byte| word << 8 | u64::from(byte));
                    bytes = &[];
                    tail
                }
            };
            waiting |= u128::from(next) << waiting_bits;
            waiting_bits += 64;
        }
        let value = waiting as u64 & mask;
        waiting >>= width;
        waiting_bits -= width;
        value
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn packed_numbers_come_back(width in 0u32..=64, words in prop::collection::vec(any::<u64>(), 0..200)) {
            let values: Vec<u64> = words.iter().map(|word| word.checked_shr(64 - width).unwrap_or(0)).collect();
            let mut bytes = vec![0xAA];
            pack(&mut bytes, width, values.iter().copied());
            prop_assert_eq!(bytes.len(), 1 + packed_len(values.len(), width));
            let back: Vec<u64> = unpack(&bytes[1..], width).take(values.len()).collect();
            prop_assert_eq!(back, values);
        }
    }

    #[test]
    fn the_first_number_is_lowest() {
        let mut bytes = Vec::new();
        pack(&mut bytes, 3, [1, 2, 4, 7].into_iter());
        assert_eq!(bytes, [0b0001_0001, 0b1111]);
        assert_eq!([0, 1, 2, 255, 256].map(width_of), [0, 1, 2, 8, 9]);
    }
}
