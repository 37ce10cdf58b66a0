//! The labels of a sample, as both formats write them.

use std::collections::BTreeMap;

/// Labels, sorted and unique, escaped already: `reason="io",vcpu="0"`. Equal labels are equal text, so a
/// page of 50,000 samples has one string for each.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelSet(Box<str>);

impl LabelSet {
    /// From names and values, of which the last of a name wins. A label with an empty value is the same as none.
    pub fn new<'p>(pairs: impl IntoIterator<Item = (&'p str, &'p str)>) -> Self {
        let sorted: BTreeMap<&str, &str> = pairs.into_iter().collect();
        let mut text = String::new();
        for (name, value) in sorted.into_iter().filter(|(_, value)| !value.is_empty()) {
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(name);
            text.push_str("=\"");
            escape_into(&mut text, value, true);
            text.push('"');
        }
        Self(text.into())
    }

    /// What stands between the braces.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Escapes backslashes and line feeds, and quotes where they would end the text.
pub(crate) fn escape_into(out: &mut String, text: &str, with_quotes: bool) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if with_quotes => out.push_str("\\\""),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_sorted_unique_and_escaped_and_the_last_wins() {
        let labels = LabelSet::new([("b", "x"), ("a", "1\n\"\\"), ("c", ""), ("b", "ö")]);
        assert_eq!(labels.as_str(), r#"a="1\n\"\\",b="ö""#);
        assert_eq!(LabelSet::new([]).as_str(), "");
    }
}
