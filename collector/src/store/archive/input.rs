//! Bytes of a block, taken from the front; whatever they are, the answer is a value or [`Malformed`].

use crate::store::read_varint;
use rondo_shm_layout::{Labels, decode_labels};

/// What a block is not, in a few words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed(pub &'static str);

/// What is left of a block.
pub(super) struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(Malformed("a block ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self
            .0
            .split_first_chunk()
            .ok_or(Malformed("a block ends too early"))?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn varint(&mut self) -> Result<u64, Malformed> {
        let mut at = 0;
        let value = read_varint(self.0, &mut at).ok_or(Malformed("a number does not end"))?;
        self.0 = &self.0[at..];
        Ok(value)
    }

    /// A number that must fit.
    pub(super) fn small<N: TryFrom<u64>>(&mut self) -> Result<N, Malformed> {
        N::try_from(self.varint()?).map_err(|_| Malformed("a number is too great"))
    }

    /// See [`zigzag`].
    pub(super) fn signed(&mut self) -> Result<i64, Malformed> {
        self.varint().map(unzigzag)
    }

    /// Bytes after their length.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.small()?;
        self.take(length)
    }

    /// A text that passes `check`.
    pub(super) fn text(&mut self, check: impl Fn(&str) -> bool) -> Result<String, Malformed> {
        let text = std::str::from_utf8(self.bytes()?).map_err(|_| Malformed("a text is not UTF-8"))?;
        if !check(text) {
            return Err(Malformed("a name or text is not allowed"));
        }
        Ok(text.to_owned())
    }

    pub(super) fn labels(&mut self) -> Result<Labels, Malformed> {
        decode_labels(self.bytes()?).map_err(|_| Malformed("labels are not allowed"))
    }

    pub(super) fn end(&self) -> Result<(), Malformed> {
        match self.0 {
            [] => Ok(()),
            _ => Err(Malformed("a block goes on after its end")),
        }
    }
}

/// Small numbers of either sign as small numbers: 0, −1, 1, −2, … become 0, 1, 2, 3, …
pub(super) fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// Bytes of a number as LEB128.
pub(super) fn varint_len(value: u64) -> usize {
    (super::bits::width_of(value).max(1) as usize).div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::write_varint;

    #[test]
    fn numbers_of_either_sign_come_back() {
        assert_eq!([0, -1, 1, -2].map(zigzag), [0, 1, 2, 3]);
        for value in [0, 1, -1, 63, -64, 64, i64::MAX, i64::MIN] {
            assert_eq!(unzigzag(zigzag(value)), value);
            let mut bytes = Vec::new();
            write_varint(&mut bytes, zigzag(value));
            assert_eq!(bytes.len(), varint_len(zigzag(value)));
        }
    }
}
