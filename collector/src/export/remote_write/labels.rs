//! Sorted labels of series that leave, their name among them.

use rondo_shm_layout::Labels;

/// The label that a metric's name is in.
pub(super) const NAME: &str = "__name__";

/// The value of a label in sorted ones, empty where it is not there.
pub(super) fn value<'l>(labels: &'l Labels, label: &str) -> &'l str {
    labels
        .binary_search_by(|(name, _)| name.as_str().cmp(label))
        .map_or("", |at| &labels[at].1)
}

/// Sets a label in sorted ones, or removes it if the value is empty.
pub(super) fn set(labels: &mut Labels, label: &str, value: String) {
    match labels.binary_search_by(|(name, _)| name.as_str().cmp(label)) {
        Ok(at) if value.is_empty() => drop(labels.remove(at)),
        Ok(at) => labels[at].1 = value,
        Err(_) if value.is_empty() => {}
        Err(at) => labels.insert(at, (label.to_owned(), value)),
    }
}

/// `[a-zA-Z_][a-zA-Z0-9_]*`, of any length: with its ending, a name may be longer than one in a slab.
pub(crate) fn is_label_name(name: &str) -> bool {
    is_metric_name(name) && !name.contains(':')
}

/// `[a-zA-Z_:][a-zA-Z0-9_:]*`, of any length.
pub(crate) fn is_metric_name(name: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':';
    !name.is_empty() && name.bytes().all(is_word) && !name.as_bytes()[0].is_ascii_digit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_stay_sorted_and_none_is_empty() {
        let mut labels = Labels::new();
        for (name, text) in [
            ("b", "1"),
            ("a", "2"),
            ("c", "3"),
            ("b", "4"),
            ("a", ""),
            ("d", ""),
        ] {
            set(&mut labels, name, text.to_owned());
        }
        assert_eq!(
            labels,
            [("b".to_owned(), "4".to_owned()), ("c".to_owned(), "3".to_owned())]
        );
        assert_eq!((value(&labels, "b"), value(&labels, "a")), ("4", ""));
    }

    #[test]
    fn names_are_of_prometheus_alphabet() {
        assert!(is_metric_name("a:b_1") && is_label_name("_a1") && is_metric_name(&"x".repeat(300)));
        for wrong in ["", "1a", "a-b", "ä", "a b"] {
            assert!(!is_metric_name(wrong) && !is_label_name(wrong), "{wrong}");
        }
        assert!(!is_label_name("a:b"));
    }
}
