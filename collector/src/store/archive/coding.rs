//! The codings of words, and how each is written and read.

use super::bits::{pack, packed_len, unpack};
use super::decimal::word_of;
use super::input::{Input, Malformed, varint_len, zigzag};
use crate::store::write_varint;
use rondo_shm_layout::SENTINEL;

/// How the words that are not the sentinel are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    /// As they are.
    Raw,
    /// All the same.
    Constant(u64),
    /// Whole numbers, or doubles that are whole numbers divided by a power of ten: what each is above `base`.
    Offset { scale: u8, base: i64, width: u32 },
    /// The same, of the differences between one and the next.
    Delta {
        scale: u8,
        first: i64,
        base: i64,
        width: u32,
    },
    /// What each and the one before it have not in common, without the low bits that are always in common.
    Xor { first: u64, shift: u32, width: u32 },
    /// There are none.
    Nothing,
}

impl Coding {
    /// Bytes of the tag and the numbers after it, without the bitmap.
    fn head_len(self) -> usize {
        1 + match self {
            Self::Raw | Self::Nothing => 0,
            Self::Constant(_) => 8,
            Self::Offset { base, .. } => 1 + varint_len(zigzag(base)),
            Self::Delta { first, base, .. } => 1 + varint_len(zigzag(first)) + varint_len(zigzag(base)),
            Self::Xor { .. } => 10,
        }
    }

    /// Bytes after the head.
    pub(super) fn payload_len(self, count: usize) -> usize {
        match self {
            Self::Raw => 8 * count,
            Self::Constant(_) | Self::Nothing => 0,
            Self::Offset { width, .. } => packed_len(count, width),
            Self::Delta { width, .. } | Self::Xor { width, .. } => packed_len(count.saturating_sub(1), width),
        }
    }

    /// Bytes of a column, without the bitmap.
    pub(super) fn len(self, count: usize) -> usize {
        self.head_len() + self.payload_len(count)
    }

    /// Appends tag, bitmap, head and payload; `numbers` are the words as whole numbers, if they can be.
    pub(super) fn write(self, bytes: &mut Vec<u8>, flag: u8, bitmap: &[u8], words: &[u64], numbers: &[i64]) {
        let tag = match self {
            Self::Raw => 0,
            Self::Constant(_) => 1,
            Self::Offset { scale, .. } => 2 | scale << 3,
            Self::Delta { scale, .. } => 3 | scale << 3,
            Self::Xor { .. } => 4,
            Self::Nothing => 5,
        };
        bytes.push(tag | flag);
        bytes.extend_from_slice(bitmap);
        match self {
            Self::Raw => words
                .iter()
                .for_each(|word| bytes.extend_from_slice(&word.to_le_bytes())),
            Self::Constant(word) => bytes.extend_from_slice(&word.to_le_bytes()),
            Self::Offset { base, width, .. } => {
                bytes.push(width as u8);
                write_varint(bytes, zigzag(base));
                let above = |number: &i64| number.wrapping_sub(base).cast_unsigned();
                pack(bytes, width, numbers.iter().map(above));
            }
            Self::Delta {
                first, base, width, ..
            } => {
                bytes.push(width as u8);
                write_varint(bytes, zigzag(first));
                write_varint(bytes, zigzag(base));
                let above = |pair: &[i64]| pair[1].wrapping_sub(pair[0]).wrapping_sub(base).cast_unsigned();
                pack(bytes, width, numbers.windows(2).map(above));
            }
            Self::Xor { first, shift, width } => {
                bytes.extend_from_slice(&[shift as u8, width as u8]);
                bytes.extend_from_slice(&first.to_le_bytes());
                pack(
                    bytes,
                    width,
                    words.windows(2).map(|pair| (pair[0] ^ pair[1]) >> shift),
                );
            }
            Self::Nothing => {}
        }
    }

    pub(super) fn read(tag: u8, input: &mut Input<'_>) -> Result<Self, Malformed> {
        if tag & 0x80 != 0 {
            return Err(Malformed("a column has an unknown coding"));
        }
        let scale = tag >> 3 & 7;
        let width = |input: &mut Input<'_>| match input.u8()? {
            width @ 0..=64 => Ok(u32::from(width)),
            _ => Err(Malformed("a number is wider than 64 bits")),
        };
        let coding = match tag & 7 {
            0 => Self::Raw,
            1 => Self::Constant(input.u64()?),
            2 => Self::Offset {
                scale,
                width: width(input)?,
                base: input.signed()?,
            },
            3 => Self::Delta {
                scale,
                width: width(input)?,
                first: input.signed()?,
                base: input.signed()?,
            },
            4 => Self::Xor {
                shift: width(input)?,
                width: width(input)?,
                first: input.u64()?,
            },
            5 => Self::Nothing,
            _ => return Err(Malformed("a column has an unknown coding")),
        };
        match coding {
            Self::Xor { shift, width, .. } if shift + width > 64 => {
                Err(Malformed("a number is wider than 64 bits"))
            }
            Self::Offset { .. } | Self::Delta { .. } => Ok(coding),
            _ if scale != 0 => Err(Malformed("a column has an unknown coding")),
            _ => Ok(coding),
        }
    }

    /// Appends the words.
    pub(super) fn expand(self, payload: &[u8], count: usize, words: &mut Vec<u64>) {
        match self {
            Self::Raw => words.extend(unpack(payload, 64).take(count)),
            Self::Constant(word) => words.extend(std::iter::repeat_n(word, count)),
            Self::Offset { scale, base, width } => {
                let word = |above: u64| word_of(base.wrapping_add(above.cast_signed()), scale);
                words.extend(unpack(payload, width).take(count).map(word));
            }
            Self::Delta {
                scale,
                first,
                base,
                width,
            } => {
                let mut next = first;
                words.extend(unpack(payload, width).take(count).map(|above| {
                    let word = word_of(next, scale);
                    next = next.wrapping_add(base).wrapping_add(above.cast_signed());
                    word
                }));
            }
            Self::Xor { first, shift, width } => {
                let mut next = first;
                words.extend(unpack(payload, width).take(count).map(|differing| {
                    let word = next;
                    // Beyond 63 there is nothing to shift.
                    next ^= differing.checked_shl(shift).unwrap_or(0);
                    word
                }));
            }
            Self::Nothing => words.extend(std::iter::repeat_n(SENTINEL, count)),
        }
    }
}
