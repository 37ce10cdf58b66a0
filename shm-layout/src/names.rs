//! Which names and texts a slab may hold. Checked by the writer, and again by every reader: names
//! end up in file names, queries, pages and exports.

/// `[A-Za-z0-9_.-]{1,128}` without a leading dot.
pub fn is_instance(name: &str) -> bool {
    (1..=128).contains(&name.len())
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

/// `[A-Za-z0-9_-]{1,32}`.
pub fn is_schema(name: &str) -> bool {
    (1..=32).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
}

/// `[a-zA-Z_:][a-zA-Z0-9_:]*`, at most 200 bytes: a Prometheus metric name.
pub fn is_metric(name: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b':';
    (1..=200).contains(&name.len()) && name.bytes().all(word) && !name.as_bytes()[0].is_ascii_digit()
}

/// Label names that exporters add themselves.
pub const RESERVED_LABELS: [&str; 6] = ["instance", "schema", "incarnation", "job", "le", "quantile"];

/// A Prometheus label name of at most 128 bytes that is nobody else's.
pub fn is_label(name: &str) -> bool {
    is_metric(name)
        && name.len() <= 128
        && !name.contains(':')
        && !name.starts_with("__")
        && !RESERVED_LABELS.contains(&name)
}

/// Without control characters: what can be shown at a terminal as it is.
pub fn is_text(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// A label's value: 1 to 1,024 bytes of text.
pub fn is_label_value(value: &str) -> bool {
    (1..=1024).contains(&value.len()) && is_text(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["vm-1", "a.b_c", &"x".repeat(128)] {
            assert!(is_instance(good), "{good}");
        }
        for bad in ["", ".hidden", "a/b", "a b", "ü", "a\n", &"x".repeat(129)] {
            assert!(!is_instance(bad), "{bad}");
        }
        assert!(is_schema("vmm-1") && !is_schema("a.b") && !is_schema("") && !is_schema(&"x".repeat(33)));
        assert!(is_metric("a:b_1") && !is_metric("1a") && !is_metric("a-b") && !is_metric(""));
        assert!(is_label("device") && !is_label("__x") && !is_label("le") && !is_label("a:b"));
        assert!(is_text("Größe ✓") && !is_text("a\u{1b}[31m") && !is_text("\u{9b}"));
    }
}
