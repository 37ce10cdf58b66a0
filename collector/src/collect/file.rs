//! The settings' file: TOML, and nothing in it that is not a setting.
//!
//! A key that nobody knows is refused: it is most often one that was mistyped, and would be ignored
//! in silence.

use crate::collect::key::Key;
use crate::collect::remote_write;
use crate::collect::section::{Lines, Section};
use crate::export::remote_write::Destination;
use toml::de::DeTable;

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
        /// As it is written, after those of the tables that it is in.
        key: String,
        /// Counted from 1.
        line: usize,
        /// What may have been meant.
        hint: String,
    },
    /// A key whose value is of another type.
    #[error("{name} line {line}: {key}: {accepted} is accepted, not a TOML {found}")]
    Type {
        /// The file.
        name: String,
        /// Counted from 1.
        line: usize,
        /// Which setting.
        key: String,
        /// What it may be.
        accepted: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// A value that its key does not take, or a key that is missing.
    #[error("{origin}: {reason}")]
    Value {
        /// File, line and key.
        origin: String,
        /// What was found, and what is accepted.
        reason: String,
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

/// What a file says.
#[derive(Debug, Default)]
pub struct Content {
    /// The settings that are texts.
    pub entries: Vec<Entry>,
    /// The tables `[[remote_write]]`.
    pub remote_write: Vec<Destination>,
}

/// The settings of the file `name` whose content is `text`.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn parse(name: &str, text: &str) -> Result<Content, FileError> {
    let lines = Lines { name, text };
    let table = DeTable::parse(text).map_err(|error| FileError::Syntax {
        name: name.to_owned(),
        line: lines.line_of(error.span().map_or(0, |span| span.start)),
        message: error.message().to_owned(),
    })?;
    let root = Section::root(lines, table.get_ref());
    root.only(&Key::ALL.map(Key::name))?;
    let mut content = Content::default();
    for key in Key::ALL {
        if key == Key::RemoteWrite {
            content.remote_write = remote_write::from_sections(&root.sections(key.name())?)?;
        } else if let Some(value) = root.text(key.name())? {
            let origin = root.origin(key.name());
            content.entries.push(Entry { key, value, origin });
        }
    }
    Ok(content)
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
        let entries = parse("f", "slabs_per_uid = 1_000\nbus = \"/b\"").unwrap().entries;
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
