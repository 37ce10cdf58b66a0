//! What readers print (spec/json.md): compared by value, and laid out for people to check.

use serde_json::Value;

/// Where two documents first differ, or `None`. Numbers are equal if their values are, however they
/// were written: one language prints the double 13 as `13`, another as `13.0`.
pub fn difference(left: &Value, right: &Value) -> Option<String> {
    match (left, right) {
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => a
            .iter()
            .zip(b)
            .enumerate()
            .find_map(|(i, (a, b))| difference(a, b).map(|rest| format!("[{i}]{rest}"))),
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => a
            .iter()
            .find_map(|(key, a)| difference(a, &b[key]).map(|rest| format!(".{key}{rest}"))),
        (Value::Number(a), Value::Number(b)) if a.is_f64() || b.is_f64() => {
            (a.as_f64() != b.as_f64()).then(|| format!(": {a} and {b}"))
        }
        _ => (left != right).then(|| format!(": {left} and {right}")),
    }
}

/// Prints with one series, point or other short thing on a line.
pub fn lay_out(value: &Value) -> String {
    let mut text = String::new();
    lay_out_into(&mut text, value, 0);
    text.push('\n');
    text
}

fn lay_out_into(text: &mut String, value: &Value, depth: usize) {
    let short = value.to_string();
    if short.len() <= 100 {
        return text.push_str(&short);
    }
    let (open, close, items): (_, _, Vec<(String, &Value)>) = match value {
        Value::Array(items) => ('[', ']', items.iter().map(|item| (String::new(), item)).collect()),
        Value::Object(items) => (
            '{',
            '}',
            items
                .iter()
                .map(|(key, item)| (format!("{key:?}: "), item))
                .collect(),
        ),
        _ => return text.push_str(&short),
    };
    text.push(open);
    for (i, (key, item)) in items.into_iter().enumerate() {
        text.push_str(if i > 0 { ",\n" } else { "\n" });
        text.push_str(&"  ".repeat(depth + 1));
        text.push_str(&key);
        lay_out_into(text, item, depth + 1);
    }
    text.push('\n');
    text.push_str(&"  ".repeat(depth));
    text.push(close);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A comparison that overlooks something would let all readers be wrong in the same test.
    #[test]
    fn only_the_same_values_are_equal() {
        assert_eq!(
            difference(&json!({"a": [13, null]}), &json!({"a": [13.0, null]})),
            None
        );
        assert_eq!(
            difference(&json!({"a": [1]}), &json!({"a": [2]})).unwrap(),
            ".a[0]: 1 and 2"
        );
        assert!(difference(&json!(u64::MAX), &json!(u64::MAX - 1)).is_some());
        assert!(difference(&json!({"a": 1}), &json!({"b": 1})).is_some());
        assert!(difference(&json!({"a": 1, "filled": true}), &json!({"a": 1})).is_some());
        assert!(difference(&json!([1, 2]), &json!([1])).is_some());
        assert!(difference(&json!(0), &json!(null)).is_some());
        assert!(difference(&json!(1), &json!(true)).is_some());
    }

    #[test]
    fn laying_out_changes_no_value() {
        let value = json!({"points": (0..50).map(|t| json!({"t": t, "v": 0.1})).collect::<Vec<_>>()});
        let text = lay_out(&value);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        assert!(text.lines().count() > 50);
    }
}
