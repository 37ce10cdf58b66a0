//! A table of the settings' file, read key by key.
//!
//! Every error says file, line and key. Where a text is asked for, a whole number is one, too.

use crate::collect::file::FileError;
use std::str::FromStr;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Name and text of the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lines<'t> {
    pub(super) name: &'t str,
    pub(super) text: &'t str,
}

impl Lines<'_> {
    /// The line of a byte, from 1.
    pub(super) fn line_of(self, at: usize) -> usize {
        1 + self.text.bytes().take(at).filter(|&byte| byte == b'\n').count()
    }
}

/// A table.
#[derive(Debug)]
pub(super) struct Section<'t> {
    lines: Lines<'t>,
    /// The keys that lead to it, each with a dot behind.
    path: String,
    line: usize,
    table: &'t DeTable<'t>,
}

/// A pair of a table whose keys are anything.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) name: String,
    pub(super) value: String,
}

const TEXT: &str = "a string or a whole number";

impl<'t> Section<'t> {
    /// The whole file.
    pub(super) fn root(lines: Lines<'t>, table: &'t DeTable<'t>) -> Self {
        Self {
            lines,
            path: String::new(),
            line: 1,
            table,
        }
    }

    /// Refuses keys that are none of these.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), FileError> {
        match self
            .table
            .keys()
            .find(|key| !known.contains(&key.get_ref().as_ref()))
        {
            None => Ok(()),
            Some(key) => Err(FileError::UnknownKey {
                name: self.lines.name.to_owned(),
                key: format!("{}{}", self.path, key.get_ref()),
                line: self.lines.line_of(key.span().start),
                hint: hint(key.get_ref(), known),
            }),
        }
    }

    /// File, line and name of a key; if it is not there, those of the table.
    pub(super) fn origin(&self, key: &str) -> String {
        let found = self.table.keys().find(|found| found.get_ref() == key);
        let line = found.map_or(self.line, |found| self.lines.line_of(found.span().start));
        format!("{} line {line}: {}{key}", self.lines.name, self.path)
    }

    /// An error about a key.
    pub(super) fn wrong(&self, key: &str, reason: impl Into<String>) -> FileError {
        FileError::Value {
            origin: self.origin(key),
            reason: reason.into(),
        }
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<String>, FileError> {
        let Some(value) = self.table.get(key) else {
            return Ok(None);
        };
        match text_of(value.get_ref()) {
            Some(text) => Ok(Some(text)),
            None => Err(self.type_error(key, value, TEXT)),
        }
    }

    /// A text that has to be there.
    pub(super) fn required(&self, key: &str, what: &str) -> Result<String, FileError> {
        self.text(key)?
            .ok_or_else(|| self.wrong(key, format!("it is missing; {what} is accepted")))
    }

    /// A text that `parse` understands.
    pub(super) fn parsed<T>(
        &self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, FileError> {
        let text = self.text(key)?;
        let parsed = text.map(|text| parse(&text)).transpose();
        parsed.map_err(|reason| self.wrong(key, reason))
    }

    /// A whole number of a range.
    pub(super) fn number<N: FromStr + PartialOrd + std::fmt::Display>(
        &self,
        key: &str,
        range: &std::ops::RangeInclusive<N>,
    ) -> Result<Option<N>, FileError> {
        self.parsed(key, |text| {
            let number = text.parse().ok().filter(|number| range.contains(number));
            number.ok_or_else(|| {
                let (least, greatest) = (range.start(), range.end());
                format!("`{text}` is not a whole number from {least} to {greatest}")
            })
        })
    }

    pub(super) fn boolean(&self, key: &str) -> Result<Option<bool>, FileError> {
        match self.table.get(key).map(|value| (value, value.get_ref())) {
            None => Ok(None),
            Some((_, DeValue::Boolean(value))) => Ok(Some(*value)),
            Some((value, _)) => Err(self.type_error(key, value, "true or false")),
        }
    }

    /// A text, or several.
    pub(super) fn texts(&self, key: &str) -> Result<Option<Vec<String>>, FileError> {
        const ACCEPTED: &str = "a string or a list of strings";
        let Some(value) = self.table.get(key) else {
            return Ok(None);
        };
        let DeValue::Array(values) = value.get_ref() else {
            let text = text_of(value.get_ref()).ok_or_else(|| self.type_error(key, value, ACCEPTED))?;
            return Ok(Some(vec![text]));
        };
        let text = |value: &'t Spanned<DeValue<'t>>| {
            text_of(value.get_ref()).ok_or_else(|| self.type_error(key, value, ACCEPTED))
        };
        values.iter().map(text).collect::<Result<_, _>>().map(Some)
    }

    /// A table.
    pub(super) fn section(&self, key: &str) -> Result<Option<Self>, FileError> {
        let value = self.table.get(key);
        value.map(|value| self.inner(key, value, "a table")).transpose()
    }

    /// A list of tables; none if it is not there.
    pub(super) fn sections(&self, key: &str) -> Result<Vec<Self>, FileError> {
        const ACCEPTED: &str = "a list of tables";
        match self.table.get(key).map(|value| (value, value.get_ref())) {
            None => Ok(Vec::new()),
            Some((_, DeValue::Array(values))) => values
                .iter()
                .map(|value| self.inner(key, value, ACCEPTED))
                .collect(),
            Some((value, _)) => Err(self.type_error(key, value, ACCEPTED)),
        }
    }

    /// All pairs of a table whose keys are anything.
    pub(super) fn pairs(&self) -> Result<Vec<Pair>, FileError> {
        let keys = self.table.keys().map(|key| key.get_ref());
        let pair = |name: &'t std::borrow::Cow<'t, str>| {
            let value = self.text(name)?.unwrap_or_default();
            Ok(Pair {
                name: name.to_string(),
                value,
            })
        };
        keys.map(pair).collect()
    }

    fn inner(
        &self,
        key: &str,
        value: &'t Spanned<DeValue<'t>>,
        accepted: &'static str,
    ) -> Result<Self, FileError> {
        let DeValue::Table(table) = value.get_ref() else {
            return Err(self.type_error(key, value, accepted));
        };
        Ok(Self {
            lines: self.lines,
            path: format!("{}{key}.", self.path),
            line: self.lines.line_of(value.span().start),
            table,
        })
    }

    fn type_error(&self, key: &str, value: &Spanned<DeValue<'_>>, accepted: &'static str) -> FileError {
        FileError::Type {
            name: self.lines.name.to_owned(),
            line: self.lines.line_of(value.span().start),
            key: format!("{}{key}", self.path),
            accepted,
            found: value.get_ref().type_str(),
        }
    }
}

fn text_of(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        _ => None,
    }
}

/// The key that may have been meant, or all of them.
fn hint(key: &str, known: &[&str]) -> String {
    let likeness = |known: &str| strsim::jaro_winkler(&key.replace('-', "_"), known);
    let nearest = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match nearest {
        Some(known) if likeness(known) > 0.8 => format!("did you mean `{known}`?"),
        _ => format!("known keys are {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<T>(text: &str, read: impl FnOnce(&Section<'_>) -> T) -> T {
        let table = DeTable::parse(text).unwrap();
        read(&Section::root(Lines { name: "f", text }, table.get_ref()))
    }

    #[test]
    fn a_key_is_named_with_the_tables_that_it_is_in_and_its_line() {
        let text = "[[a]]\nb = {c = 1}\n\n[[a]]\nx = 1\nb = {\n  c = true,\n}\n";
        with(text, |root| {
            let sections = root.sections("a").unwrap();
            assert_eq!(sections.len(), 2);
            let inner = sections[1].section("b").unwrap().unwrap();
            assert_eq!(inner.origin("c"), "f line 7: a.b.c");
            let error = inner.text("c").unwrap_err().to_string();
            assert_eq!(
                error,
                "f line 7: a.b.c: a string or a whole number is accepted, not a TOML boolean"
            );
            let error = sections[1].required("url", "a text").unwrap_err().to_string();
            assert_eq!(error, "f line 4: a.url: it is missing; a text is accepted");
            let error = sections[1].only(&["bb", "y"]).unwrap_err().to_string();
            assert_eq!(error, "f: unknown key `a.b` at line 6; did you mean `bb`?");
            let error = sections[1].sections("b").unwrap_err().to_string();
            assert_eq!(
                error,
                "f line 6: a.b: a list of tables is accepted, not a TOML table"
            );
        });
    }

    #[test]
    fn values_are_of_their_types_and_ranges() {
        with("n = 7\nt = [\"a\", \"b\"]\nb = true\no = 'x'\nh = 0x10", |root| {
            assert_eq!(root.number("n", &(0..=7u8)).unwrap(), Some(7));
            let error = root.number("n", &(0..=6u8)).unwrap_err().to_string();
            assert_eq!(error, "f line 1: n: `7` is not a whole number from 0 to 6");
            assert_eq!(root.texts("t").unwrap().unwrap(), ["a", "b"]);
            assert_eq!(root.texts("o").unwrap().unwrap(), ["x"]);
            assert_eq!(root.texts("none").unwrap(), None);
            assert_eq!(root.boolean("b").unwrap(), Some(true));
            for key in ["b", "t", "h"] {
                assert!(root.text(key).is_err(), "{key}");
            }
            assert!(root.boolean("o").is_err() && root.section("o").is_err() && root.texts("b").is_err());
        });
    }
}
