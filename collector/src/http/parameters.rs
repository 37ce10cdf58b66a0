//! The parameters of a request: decoded strictly, known by name, bounded in number.

use super::error::ApiError;

/// Parameters of a request.
const PARAMETERS_MAX: usize = 64;

/// Names and values in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// From what follows the question mark. A name that is not in `known` is refused, so that a slip of the
    /// pen never passes for "everything".
    pub(super) fn parse(query: &str, known: &[&str]) -> Result<Self, ApiError> {
        let mut pairs = Vec::new();
        for part in query.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let name = decode(name).map_err(|reason| ApiError::parameter(printable(name), reason))?;
            let value = decode(value).map_err(|reason| ApiError::parameter(&name, reason))?;
            if !known.contains(&name.as_str()) {
                return Err(ApiError::parameter(&name, unknown(&name, known)));
            }
            if pairs.len() == PARAMETERS_MAX {
                return Err(ApiError::parameter(
                    name,
                    format!("more than {PARAMETERS_MAX} parameters"),
                ));
            }
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    /// All values of a parameter that may be repeated.
    pub(super) fn all<'p>(&'p self, name: &'p str) -> impl Iterator<Item = &'p str> {
        self.0
            .iter()
            .filter(move |(there, _)| there == name)
            .map(|(_, value)| value.as_str())
    }

    /// The value of a parameter that may be there once. One with an empty value is not there.
    pub(super) fn one<'p>(&'p self, name: &'p str) -> Result<Option<&'p str>, ApiError> {
        let mut values = self.all(name);
        let first = values.next();
        if values.next().is_some() {
            return Err(ApiError::parameter(name, "it is there more than once"));
        }
        Ok(first.filter(|value| !value.is_empty()))
    }
}

fn unknown(name: &str, known: &[&str]) -> String {
    let likeness = |there: &&&str| (strsim::jaro_winkler(name, there) * 1_000.0) as u32;
    match known.iter().max_by_key(likeness) {
        None => "this route takes no parameters".to_owned(),
        Some(nearest) if strsim::jaro_winkler(name, nearest) > 0.7 => {
            format!("there is no such parameter; did you mean {nearest}?")
        }
        Some(_) => format!("there is no such parameter; there are {}", known.join(", ")),
    }
}

fn printable(text: &str) -> String {
    text.chars().take(100).collect()
}

/// Percent-decoding of forms, where a plus stands for a space.
fn decode(text: &str) -> Result<String, &'static str> {
    let hex = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => match (hex(bytes.next()), hex(bytes.next())) {
                // Two digits of four bits.
                (Some(high), Some(low)) => (high * 16 + low) as u8,
                _ => return Err("a percent sign is not followed by two hex digits (write it %25)"),
            },
            other => other,
        });
    }
    String::from_utf8(decoded).map_err(|_| "not UTF-8 once it is decoded")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parameters_are_decoded_and_known() {
        let known = ["series", "match[]"];
        let parsed = Parameters::parse(
            "series=a%7Bb%3D%22%C3%A4+x%22%7D&match%5B%5D=1&&match[]=2",
            &known,
        )
        .unwrap();
        assert_eq!(parsed.one("series"), Ok(Some("a{b=\"ä x\"}")));
        assert_eq!(parsed.all("match[]").collect::<Vec<_>>(), ["1", "2"]);
        assert!(
            parsed
                .one("match[]")
                .unwrap_err()
                .reason
                .contains("more than once")
        );
        for (query, parameter, reason) in [
            ("series=%", "series", "two hex digits"),
            ("series=%f", "series", "two hex digits"),
            ("series=%+1", "series", "two hex digits"),
            ("series=%C3", "series", "UTF-8"),
            ("sereis=a", "sereis", "did you mean series?"),
            ("zzz", "zzz", "there are series, match[]"),
        ] {
            let error = Parameters::parse(query, &known).unwrap_err();
            assert_eq!(error.parameter.as_deref(), Some(parameter), "{query}");
            assert!(error.reason.contains(reason), "{query}: {error}");
        }
        let many = "series=1&".repeat(65);
        assert!(
            Parameters::parse(&many, &known)
                .unwrap_err()
                .reason
                .contains("64")
        );
    }

    proptest! {
        #[test]
        fn what_is_encoded_comes_back(text in "\\PC{0,30}") {
            let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
            prop_assert_eq!(decode(&encoded), Ok(text));
        }

        #[test]
        fn any_query_is_parameters_or_an_error(query in r"[a%&=+0-9Cc\[\]é]{0,40}") {
            let _ = Parameters::parse(&query, &["a"]);
        }
    }
}
