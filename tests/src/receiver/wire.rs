//! The wire format of protocol buffers, read without any schema: a message is a row of numbered fields.
//!
//! Of [the encoding's description](https://protobuf.dev/programming-guides/encoding/); groups are long gone and refused.

/// A field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its number.
    pub number: u64,
    /// What it holds.
    pub value: Value<'a>,
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// An integer.
    Varint(u64),
    /// Eight bytes, such as a double.
    Eight(u64),
    /// Text, a message, or packed numbers.
    Bytes(&'a [u8]),
    /// Four bytes.
    Four(u32),
}

/// All fields of a message, in their order.
pub fn fields(mut bytes: &[u8]) -> Result<Vec<Field<'_>>, String> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let number = key >> 3;
        if number == 0 {
            return Err("a field has the number 0".into());
        }
        let value = match key & 7 {
            0 => Value::Varint(varint(&mut bytes)?),
            1 => {
                let eight = take(&mut bytes, 8)?;
                Value::Eight(u64::from_le_bytes(eight.try_into().unwrap()))
            }
            2 => {
                let len = varint(&mut bytes)?;
                let len = usize::try_from(len).map_err(|_| format!("field {number} has {len} bytes"))?;
                Value::Bytes(take(&mut bytes, len)?)
            }
            5 => {
                let four = take(&mut bytes, 4)?;
                Value::Four(u32::from_le_bytes(four.try_into().unwrap()))
            }
            wire_type => return Err(format!("field {number} has the wire type {wire_type}")),
        };
        fields.push(Field { number, value });
    }
    Ok(fields)
}

/// Integers one after the other.
pub fn varints(mut bytes: &[u8]) -> Result<Vec<u64>, String> {
    let mut numbers = Vec::new();
    while !bytes.is_empty() {
        numbers.push(varint(&mut bytes)?);
    }
    Ok(numbers)
}

/// From zigzag: 0, −1, 1, −2, and so on.
pub fn signed(zigzag: u64) -> i64 {
    (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed()
}

fn varint(bytes: &mut &[u8]) -> Result<u64, String> {
    let mut number = 0u64;
    for shift in (0..70).step_by(7) {
        let byte = take(bytes, 1)?[0];
        if shift == 63 && byte > 1 {
            return Err("a number has more than 64 bits".into());
        }
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err("a number does not end".into())
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Result<&'a [u8], String> {
    let (taken, rest) = bytes.split_at_checked(count).ok_or_else(|| {
        format!(
            "a message ends in the middle: {count} bytes wanted, {} left",
            bytes.len()
        )
    })?;
    *bytes = rest;
    Ok(taken)
}

impl<'a> Field<'a> {
    /// As text or a message.
    pub fn bytes(&self) -> Result<&'a [u8], String> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(self.odd("bytes")),
        }
    }

    /// As text.
    pub fn text(&self) -> Result<String, String> {
        let text = std::str::from_utf8(self.bytes()?);
        text.map(str::to_owned).map_err(|_| self.odd("UTF-8"))
    }

    /// As an integer.
    pub fn integer(&self) -> Result<u64, String> {
        match self.value {
            Value::Varint(number) => Ok(number),
            _ => Err(self.odd("an integer")),
        }
    }

    /// The bits of a double.
    pub fn bits(&self) -> Result<u64, String> {
        match self.value {
            Value::Eight(bits) => Ok(bits),
            _ => Err(self.odd("a double")),
        }
    }

    fn odd(&self, wanted: &str) -> String {
        format!(
            "field {} should be {wanted}, and is {:?}",
            self.number, self.value
        )
    }
}
