//! Which series: `name{label="x",other!="y",re=~"a.*",nre!~"b"}`, as in Prometheus.
//!
//! A label that a series does not have is one with an empty value; a regular expression has to match the
//! whole value; `__name__` stands for the name. `{}` takes everything. Regular expressions run in
//! linear time and have a bounded size, so a selector may come from a stranger.

use regex::{Regex, RegexBuilder};
use rondo_shm_layout::{Labels, names};
use std::str::FromStr;

/// Bytes of a selector.
const SELECTOR_BYTES_MAX: usize = 16 << 10;

/// Bytes of a compiled regular expression.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// A parsed selector.
///
/// ```
/// use rondo_collector::Selector;
///
/// let selector: Selector = r#"exits_total{vcpu="0",reason=~"io|mmio"}"#.parse()?;
/// let labels = [("reason", "io"), ("vcpu", "0")].map(|(n, v)| (n.to_owned(), v.to_owned()));
/// assert!(selector.matches("exits_total", &labels.to_vec()));
/// # Ok::<(), rondo_collector::SelectorError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Selector {
    matchers: Vec<Matcher>,
}

/// What is wrong with a selector, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} at column {column}\n  {shown}\n  {:>column$}", "^")]
pub struct SelectorError {
    message: String,
    /// In characters, from 1.
    column: usize,
    shown: String,
}

#[derive(Debug, Clone)]
struct Matcher {
    label: String,
    test: Test,
}

#[derive(Debug, Clone)]
enum Test {
    Is(String),
    IsNot(String),
    Fits(Regex),
    FitsNot(Regex),
}

const NAME: &str = "__name__";

impl Selector {
    /// Takes everything, like `{}`.
    pub fn all() -> Self {
        Self { matchers: Vec::new() }
    }

    /// Whether it takes a series.
    pub fn matches(&self, name: &str, labels: &Labels) -> bool {
        self.matches_by(|label| {
            Some(match label {
                NAME => name,
                label => value_of(labels, label),
            })
        })
    }

    /// Whether all matchers fit the values that `value_of` gives; it gives an empty one for a label
    /// that is not there, and `None` for one that shall not be looked at.
    pub fn matches_by<'v>(&self, value_of: impl Fn(&str) -> Option<&'v str>) -> bool {
        self.matchers
            .iter()
            .all(|matcher| value_of(&matcher.label).is_none_or(|value| matcher.test.passes(value)))
    }

    /// What it takes, but only where `label` has this value.
    #[must_use]
    pub fn and(mut self, label: &str, value: &str) -> Self {
        self.matchers.push(Matcher {
            label: label.to_owned(),
            test: Test::Is(value.to_owned()),
        });
        self
    }

    /// The one value of `label` that it takes, if it says one.
    pub fn exact(&self, label: &str) -> Option<&str> {
        self.matchers.iter().find_map(|matcher| match &matcher.test {
            Test::Is(value) if matcher.label == label => Some(value.as_str()),
            _ => None,
        })
    }
}

/// The value of a label, empty where it is not there.
pub(crate) fn value_of<'l>(labels: &'l Labels, label: &str) -> &'l str {
    labels
        .iter()
        .find(|(name, _)| name == label)
        .map_or("", |(_, value)| value)
}

impl Test {
    fn passes(&self, value: &str) -> bool {
        match self {
            Self::Is(wanted) => value == wanted,
            Self::IsNot(unwanted) => value != unwanted,
            Self::Fits(regex) => regex.is_match(value),
            Self::FitsNot(regex) => !regex.is_match(value),
        }
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        Parser { text, at: 0 }.selector()
    }
}

struct Parser<'t> {
    text: &'t str,
    /// A byte offset, always between characters.
    at: usize,
}

impl<'t> Parser<'t> {
    fn selector(mut self) -> Result<Selector, SelectorError> {
        if self.text.len() > SELECTOR_BYTES_MAX {
            return self.error(
                format!("the selector is longer than {SELECTOR_BYTES_MAX} bytes"),
                0,
            );
        }
        let mut matchers = Vec::new();
        self.skip_space();
        let start = self.at;
        let name = self.word(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
        if !name.is_empty() {
            if !names::is_metric(name) {
                return self.error(format!("{name} is not a metric name"), start);
            }
            matchers.push(Matcher {
                label: NAME.into(),
                test: Test::Is(name.into()),
            });
        }
        self.skip_space();
        if self.takes('{') {
            self.matchers(&mut matchers)?;
            self.skip_space();
        } else if name.is_empty() && self.rest().is_empty() {
            return self.error("expected a name or `{` (write {} for all series)".into(), self.at);
        }
        match self.rest().chars().next() {
            None => Ok(Selector { matchers }),
            Some(found) if name.is_empty() && matchers.is_empty() => {
                self.error(format!("expected a name or `{{`, found {found:?}"), self.at)
            }
            Some(found) => self.error(format!("expected the end, found {found:?}"), self.at),
        }
    }

    /// What follows the opening brace, up to and with the closing one.
    fn matchers(&mut self, matchers: &mut Vec<Matcher>) -> Result<(), SelectorError> {
        loop {
            self.skip_space();
            if self.takes('}') {
                return Ok(());
            }
            matchers.push(self.matcher()?);
            self.skip_space();
            if !self.takes(',') && !self.rest().starts_with('}') {
                return self.expected("`,` or `}`");
            }
        }
    }

    fn matcher(&mut self) -> Result<Matcher, SelectorError> {
        let label = self.word(|c| c.is_ascii_alphanumeric() || c == '_').to_owned();
        if label.is_empty() || label.starts_with(|c: char| c.is_ascii_digit()) {
            self.at -= label.len();
            return self.expected("a label name or `}`");
        }
        self.skip_space();
        let operator = ["=~", "!~", "!=", "="]
            .into_iter()
            .find(|operator| self.rest().starts_with(operator));
        let Some(operator) = operator else {
            return self.expected("=, !=, =~ or !~");
        };
        self.at += operator.len();
        self.skip_space();
        let start = self.at;
        let value = self.quoted()?;
        let test = match operator {
            "=" => Test::Is(value),
            "!=" => Test::IsNot(value),
            "=~" => Test::Fits(self.regex(&value, start)?),
            _ => Test::FitsNot(self.regex(&value, start)?),
        };
        Ok(Matcher { label, test })
    }

    /// A string in double or single quotes with backslash escapes, or in backticks without.
    fn quoted(&mut self) -> Result<String, SelectorError> {
        let start = self.at;
        let Some(quote) = self
            .rest()
            .chars()
            .next()
            .filter(|c| ['"', '\'', '`'].contains(c))
        else {
            return self.expected("a value in quotes");
        };
        self.at += 1;
        let mut value = String::new();
        while let Some(c) = self.rest().chars().next() {
            self.at += c.len_utf8();
            if c == quote {
                return Ok(value);
            }
            if c != '\\' || quote == '`' {
                value.push(c);
                continue;
            }
            let Some(escaped) = self.rest().chars().next() else {
                break;
            };
            value.push(match escaped {
                '\\' | '"' | '\'' => escaped,
                'n' => '\n',
                't' => '\t',
                other => {
                    return self.error(
                        format!("unknown escape \\{other} (a backslash is written \\\\)"),
                        self.at - 1,
                    );
                }
            });
            self.at += escaped.len_utf8();
        }
        self.error(format!("this {quote} is never closed"), start)
    }

    fn regex(&self, pattern: &str, start: usize) -> Result<Regex, SelectorError> {
        let build = |pattern: &str| {
            RegexBuilder::new(pattern)
                .size_limit(REGEX_BYTES_MAX)
                .dfa_size_limit(REGEX_BYTES_MAX)
                .build()
        };
        // By itself first: `a)|(b` would pass between parentheses.
        let anchored = build(pattern).and_then(|_| build(&format!("^(?:{pattern})$")));
        anchored.or_else(|error| {
            let message = match error {
                regex::Error::CompiledTooBig(_) => "this regular expression is too big".to_owned(),
                error => {
                    // The last line says what is wrong, those before it show where.
                    let text = error.to_string();
                    let reason = text
                        .lines()
                        .last()
                        .unwrap_or_default()
                        .trim_start_matches("error: ")
                        .to_owned();
                    format!("not a regular expression: {reason},")
                }
            };
            self.error(message, start)
        })
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn takes(&mut self, wanted: char) -> bool {
        let taken = self.rest().starts_with(wanted);
        self.at += if taken { wanted.len_utf8() } else { 0 };
        taken
    }

    fn skip_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn word(&mut self, is_part: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let word = &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())];
        self.at += word.len();
        word
    }

    fn expected<T>(&self, what: &str) -> Result<T, SelectorError> {
        let found = self
            .rest()
            .chars()
            .next()
            .map_or("the end".into(), |c| format!("{c:?}"));
        self.error(format!("expected {what}, found {found},"), self.at)
    }

    fn error<T>(&self, message: String, at: usize) -> Result<T, SelectorError> {
        let column = self.text[..at].chars().count() + 1;
        let shown = self
            .text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        Err(SelectorError {
            message,
            column,
            shown,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn takes(selector: &str, name: &str, labels: &[(&str, &str)]) -> bool {
        let labels = labels
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        selector.parse::<Selector>().unwrap().matches(name, &labels)
    }

    #[test]
    fn names_and_matchers() {
        let labels = [("reason", "mmio"), ("vcpu", "0")];
        for selector in [
            "{}",
            " { } ",
            "exits",
            "exits{}",
            "exits{vcpu=\"0\"}",
            "exits { vcpu = \"0\" , reason != 'io' , }",
            "{reason=~\"m.*\"}",
            "{reason!~\"io\"}",
            "{reason=~`\\w+`}",
            "{__name__=~\"ex.*\"}",
            "{device=\"\"}",
            "{device!=\"vda\"}",
            "{device=~\".*\"}",
            "{reason=~\"x|mmio|y\"}",
        ] {
            assert!(takes(selector, "exits", &labels), "{selector}");
        }
        for selector in [
            "exit",
            "exits{vcpu=\"1\"}",
            "{reason=~\"mm\"}",
            "{reason=~\"io\"}",
            "{device=~\".+\"}",
            "{device!=\"\"}",
            "{reason!~\"m.*o\"}",
        ] {
            assert!(!takes(selector, "exits", &labels), "{selector}");
        }
    }

    #[test]
    fn quotes_and_escapes() {
        assert!(takes(r#"{a="x\"\\y"}"#, "n", &[("a", "x\"\\y")]));
        assert!(takes(r#"{a='it\'s'}"#, "n", &[("a", "it's")]));
        assert!(takes(r"{a=`\n`}", "n", &[("a", "\\n")]));
        assert!(takes("{a=\"größe ✓\"}", "n", &[("a", "größe ✓")]));
    }

    #[test]
    fn errors_point_at_the_column() {
        for (selector, column, message) in [
            ("", 1, "expected a name or `{`"),
            ("9lives", 1, "not a metric name"),
            ("a b", 3, "expected the end"),
            ("a{b}", 4, "expected =, !="),
            ("a{b=}", 5, "expected a value in quotes"),
            ("a{b=\"x\"", 8, "expected `,` or `}`"),
            ("a{b=\"x}", 5, "never closed"),
            ("a{ä=\"x\"}", 3, "expected a label name"),
            ("a{b=\"ä\" c=\"x\"}", 9, "expected `,` or `}`"),
            ("a{b=\"\\d\"}", 6, "unknown escape"),
            ("a{b=~\"(\"}", 6, "not a regular expression"),
            ("a{b=~\"a)|(b\"}", 6, "not a regular expression"),
            ("a{b=~\"((a{1000}){1000}){1000}\"}", 6, "too big"),
            ("a{}{}", 4, "expected the end"),
        ] {
            let error = selector.parse::<Selector>().unwrap_err();
            assert!(error.message.contains(message), "{selector}: {error}");
            assert_eq!(error.column, column, "{selector}: {error}");
            let last = error.to_string().lines().last().unwrap().to_owned();
            assert_eq!(last.find('^'), Some(column + 1), "{selector}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_selector_or_an_error(text in r#"[a{}=~!"'`\\, ä(|)*]{0,24}"#) {
            if let Err(error) = text.parse::<Selector>() {
                prop_assert!(error.column <= text.chars().count() + 1);
            }
        }

        /// Against the obvious: every value matches itself, whatever is in it.
        #[test]
        fn a_quoted_value_matches_itself(value in "[^\\p{Cc}]{1,20}") {
            let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
            let (exact, regex) = (quoted(&value), quoted(&regex::escape(&value)));
            let takes = |operator: &str, quoted: &str| {
                takes(&format!("{{a{operator}\"{quoted}\"}}"), "n", &[("a", &value)])
            };
            prop_assert!(takes("=", &exact) && takes("=~", &regex));
            prop_assert!(!takes("!=", &exact) && !takes("!~", &regex));
        }
    }
}
