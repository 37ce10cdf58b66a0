//! How many bytes: `512MiB`, `2GiB`, `4096`.

use std::str::FromStr;

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// Powers of 1,024 only: `MB` means one thing to disks and another to memory.
const UNITS: [(&str, u64); 5] = [
    ("", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is not a size; sizes are whole numbers of KiB, MiB, GiB, TiB or bytes, such as 512MiB"
            )
        };
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        let number: u64 = number.parse().map_err(|_| wrong())?;
        number.checked_mul(*factor).map(Self).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("4096", 4_096),
            ("512MiB", 512 << 20),
            ("2GiB", 2 << 30),
            ("0", 0),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)));
        }
        for wrong in [
            "",
            "MiB",
            "2G",
            "2 GiB",
            "2GB",
            "-1",
            "1.5GiB",
            "99999999TiB",
            "ä",
        ] {
            let error = wrong.parse::<Size>().unwrap_err();
            assert!(error.contains("512MiB"), "{error}");
        }
    }
}
