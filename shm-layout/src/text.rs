//! References to bytes in the strings section, and the coding of labels.

use crate::names;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Where a text is. Length 0 is no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TextRef {
    /// From the start of the file.
    pub offset: U64,
    /// In bytes.
    pub length: U32,
    /// Zero.
    pub reserved: U32,
}

const _: () = assert!(size_of::<TextRef>() == 16);

/// Label pairs, sorted by name, names unique.
pub type Labels = Vec<(String, String)>;

/// Most pairs that a series or instance may have.
pub const LABELS_MAX: usize = 64;

/// Codes pairs as they stand in a slab, sorted by name.
///
/// # Errors
/// Says which pair is not allowed: an invalid or reserved name, a repeated name, a value that is
/// empty, too long, or has control characters, or too many pairs.
pub fn encode_labels(labels: &[(String, String)]) -> Result<Vec<u8>, String> {
    let mut sorted: Vec<_> = labels.iter().collect();
    sorted.sort();
    check(
        &sorted
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect::<Vec<_>>(),
    )?;
    let mut bytes = Vec::new();
    for (name, value) in sorted {
        for length in [name.len(), value.len()] {
            bytes.extend((length as u16).to_le_bytes());
        }
        bytes.extend(name.as_bytes());
        bytes.extend(value.as_bytes());
    }
    Ok(bytes)
}

/// The pairs in `bytes`.
///
/// # Errors
/// Says what is wrong, as in [`encode_labels`], and also if the bytes end inside a pair, are not
/// UTF-8 or not sorted.
pub fn decode_labels(mut bytes: &[u8]) -> Result<Labels, String> {
    let mut labels = Labels::new();
    while !bytes.is_empty() {
        let cut = || "labels end inside a pair".to_owned();
        let (head, rest) = bytes.split_at_checked(4).ok_or_else(cut)?;
        let name_length = usize::from(u16::from_le_bytes([head[0], head[1]]));
        let value_length = usize::from(u16::from_le_bytes([head[2], head[3]]));
        let (name, rest) = rest.split_at_checked(name_length).ok_or_else(cut)?;
        let (value, rest) = rest.split_at_checked(value_length).ok_or_else(cut)?;
        let text =
            |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| "a label is not UTF-8".to_owned());
        labels.push((text(name)?, text(value)?));
        if labels.len() > LABELS_MAX {
            break; // `check` says so
        }
        bytes = rest;
    }
    check(
        &labels
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect::<Vec<_>>(),
    )?;
    labels.shrink_to_fit(); // readers keep them for long
    Ok(labels)
}

fn check(labels: &[(&str, &str)]) -> Result<(), String> {
    if labels.len() > LABELS_MAX {
        return Err(format!("more than {LABELS_MAX} labels"));
    }
    if let Some((name, _)) = labels.iter().find(|(name, _)| !names::is_label(name)) {
        return Err(format!(
            "label name {name:?} is reserved or does not match [a-zA-Z_][a-zA-Z0-9_]*"
        ));
    }
    if let Some((name, value)) = labels.iter().find(|(_, value)| !names::is_label_value(value)) {
        let value: String = value.chars().take(40).collect();
        return Err(format!(
            "value {value:?} of label {name} is empty, longer than 1024 bytes, or has control characters"
        ));
    }
    match labels.windows(2).find(|pair| pair[0].0 >= pair[1].0) {
        Some(pair) if pair[0].0 == pair[1].0 => Err(format!("label {} is given twice", pair[0].0)),
        Some(pair) => Err(format!("label {} stands before {}", pair[0].0, pair[1].0)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.into(), value.into())
    }

    #[test]
    fn labels_come_back_sorted() {
        let bytes = encode_labels(&[pair("vcpu", "1"), pair("device", "vdä")]).unwrap();
        assert_eq!(
            decode_labels(&bytes).unwrap(),
            [pair("device", "vdä"), pair("vcpu", "1")]
        );
        assert_eq!(decode_labels(&[]).unwrap(), []);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (labels, why) in [
            (vec![pair("a", "1"), pair("a", "2")], "given twice"),
            (vec![pair("le", "1")], "reserved"),
            (vec![pair("a", "x\ny")], "control"),
            (vec![pair("a", "")], "empty"),
        ] {
            assert!(encode_labels(&labels).unwrap_err().contains(why));
        }
        let (b, a) = (
            encode_labels(&[pair("b", "1")]).unwrap(),
            encode_labels(&[pair("a", "1")]).unwrap(),
        );
        assert!(
            decode_labels(&[b, a.clone()].concat())
                .unwrap_err()
                .contains("before")
        );
        assert!(
            decode_labels(&a[..a.len() - 1])
                .unwrap_err()
                .contains("end inside")
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_labels_or_an_error(bytes in prop::collection::vec(prop_oneof![0u8..4, any::<u8>()], 0..200)) {
            if let Ok(labels) = decode_labels(&bytes) {
                prop_assert_eq!(encode_labels(&labels).unwrap(), bytes);
            }
        }
    }
}
