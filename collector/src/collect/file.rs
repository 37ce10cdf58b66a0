//! The settings' file: TOML, and nothing in it that is not a setting.
//!
//! A key that nobody knows is refused: it is most often one that was mistyped, and would be ignored
//! in silence.

use crate::collect::key::Key;
use toml::de::{DeTable, DeValue};

/// What is wrong with the file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is not TOML.
    #[error("{name} line {line}: {message}")]
    Syntax {
        /// The file.
        name: String,
        /// Counted from 1.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// A key that is not a setting.
    #[error("{name}: unknown key `{key}` at line {line}; {hint}")]
    UnknownKey {
        /// The file.
        name: String,
        /// As it is written.
        key: String,
        /// Counted from 1.
        line: usize,
        /// What may have been meant.
        hint: String,
    },
    /// A key whose value is no text or number.
    #[error("{name} line {line}: {key}: a string or a whole number is accepted, not a TOML {found}", key = key.name())]
    Type {
        /// The file.
        name: String,
        /// Counted from 1.
        line: usize,
        /// Which setting.
        key: Key,
        /// What it is.
        found: &'static str,
    },
}

/// A setting of the file.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which.
    pub key: Key,
    /// Its value as a text.
    pub value: String,
    /// File, line and key, for errors.
    pub origin: String,
}

/// The settings of the file `name` whose content is `text`.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn parse(name: &str, text: &str) -> Result<Vec<Entry>, FileError> {
    let line_of = |at: usize| 1 + text.bytes().take(at).filter(|&byte| byte == b'\n').count();
    let table = DeTable::parse(text).map_err(|error| FileError::Syntax {
        name: name.to_owned(),
        line: line_of(error.span().map_or(0, |span| span.start)),
        message: error.message().to_owned(),
    })?;
    let mut entries = Vec::new();
    for (key, value) in table.get_ref() {
        let line = line_of(key.span().start);
        let name = || name.to_owned();
        let Some(known) = Key::ALL.into_iter().find(|known| known.name() == key.get_ref()) else {
            let key = key.get_ref();
            return Err(FileError::UnknownKey {
                name: name(),
                line,
                key: key.to_string(),
                hint: hint(key),
            });
        };
        let value = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
            other => {
                return Err(FileError::Type {
                    name: name(),
                    line,
                    key: known,
                    found: other.type_str(),
                });
            }
        };
        entries.push(Entry {
            key: known,
            value,
            origin: format!("{} line {line}: {}", name(), known.name()),
        });
    }
    Ok(entries)
}

/// The setting that may have been meant, or all of them.
fn hint(key: &str) -> String {
    let likeness = |known: &Key| strsim::jaro_winkler(&key.replace('-', "_"), known.name());
    let nearest = Key::ALL
        .into_iter()
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match nearest {
        Some(known) if likeness(&known) > 0.8 => format!("did you mean `{}`?", known.name()),
        _ => format!("known keys are {}", Key::ALL.map(Key::name).join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_known_one() {
        let error = parse("f", "# x\n\nstor_budget = '1GiB'").unwrap_err().to_string();
        assert_eq!(
            error,
            "f: unknown key `stor_budget` at line 3; did you mean `store_budget`?"
        );
        let error = parse("f", "slab-max = 1").unwrap_err().to_string();
        assert!(error.ends_with("did you mean `slab_max`?"), "{error}");
        let error = parse("f", "[export]\nurl = 'x'").unwrap_err().to_string();
        assert!(
            error.contains("`export` at line 1; known keys are bus, store, "),
            "{error}"
        );
    }

    #[test]
    fn numbers_are_texts_too_and_anything_else_is_refused() {
        let entries = parse("f", "slabs_per_uid = 1_000\nbus = \"/b\"").unwrap();
        let of = |key| entries.iter().find(|entry| entry.key == key).unwrap();
        assert_eq!(of(Key::SlabsPerUid).value, "1000");
        assert_eq!(
            (of(Key::Bus).value.as_str(), of(Key::Bus).origin.as_str()),
            ("/b", "f line 2: bus")
        );
        let error = parse("f", "\nkeep = true").unwrap_err().to_string();
        assert_eq!(
            error,
            "f line 2: keep: a string or a whole number is accepted, not a TOML boolean"
        );
    }

    #[test]
    fn what_is_no_toml_says_in_which_line() {
        for (text, line) in [("bus = '/x'\nkeep", 2), ("bus = '/a'\nbus = '/b'", 2), ("=", 1)] {
            let error = parse("f", text).unwrap_err();
            assert!(
                matches!(error, FileError::Syntax { line: found, .. } if found == line),
                "{error}"
            );
        }
    }
}
