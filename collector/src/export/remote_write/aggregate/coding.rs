//! Numbers, texts and labels of a journal as bytes; whatever the bytes are, reading gives a value or an error.

use super::amount::Amount;
use super::engine::can_leave;
use crate::store::{read_varint, write_varint};
use rondo_shm_layout::Labels;

/// The format that is written, and the only one that is read.
pub(super) const VERSION: u8 = 1;

/// Why bytes are not changes of this engine's state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// They were written by another version.
    #[error("aggregation state of format {0}; this version understands {VERSION}")]
    Version(u8),
    /// They are of windows of another length: another tier, or a tier that was changed.
    #[error("aggregation state of windows of {found} ms, not of {expected} ms")]
    Step {
        /// What they are of.
        found: u64,
        /// What the engine has.
        expected: u64,
    },
    /// They are damaged, or belong after other changes.
    #[error("damaged aggregation state: {0}")]
    Malformed(&'static str),
}

/// What is left to read.
pub(super) struct Input<'a>(pub(super) &'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], JournalError> {
        let (taken, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(JournalError::Malformed("it ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, JournalError> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub(super) fn number(&mut self) -> Result<u64, JournalError> {
        let mut at = 0;
        let number = read_varint(self.0, &mut at).ok_or(JournalError::Malformed("a number does not end"))?;
        self.0 = &self.0[at..];
        Ok(number)
    }

    pub(super) fn double(&mut self) -> Result<f64, JournalError> {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(self.take(8)?);
        Ok(f64::from_le_bytes(bytes))
    }

    pub(super) fn value(&mut self) -> Result<f64, JournalError> {
        let value = self.double()?;
        match value.is_nan() {
            false => Ok(value),
            true => Err(JournalError::Malformed("a value is not a number")),
        }
    }

    pub(super) fn amount(&mut self) -> Result<Amount, JournalError> {
        let (low, high) = (u128::from(self.number()?), u128::from(self.number()?));
        let amount = Amount::new(high << 64 | low, self.double()?);
        amount.ok_or(JournalError::Malformed("a sum is not in its form"))
    }

    pub(super) fn text(&mut self) -> Result<String, JournalError> {
        let length = self.number()?;
        // More than there is in any case, if it does not fit.
        let bytes = self.take(usize::try_from(length).unwrap_or(usize::MAX))?;
        let text = std::str::from_utf8(bytes).map_err(|_| JournalError::Malformed("a text is not UTF-8"))?;
        Ok(text.to_owned())
    }

    pub(super) fn labels(&mut self) -> Result<Labels, JournalError> {
        let mut labels = Labels::new();
        for _ in 0..self.number()? {
            labels.push((self.text()?, self.text()?));
        }
        match can_leave(&labels) {
            true => Ok(labels),
            false => Err(JournalError::Malformed("labels are not allowed")),
        }
    }
}

/// Mostly small, and without a part behind the point.
pub(super) fn write_amount(bytes: &mut Vec<u8>, amount: Amount) {
    let whole = amount.whole();
    write_varint(bytes, whole as u64);
    write_varint(bytes, (whole >> 64) as u64);
    bytes.extend_from_slice(&amount.part().to_le_bytes());
}

pub(super) fn write_count(bytes: &mut Vec<u8>, count: usize) {
    write_varint(bytes, count as u64);
}
