//! A second reading of the formats: what was written, a small parser of its own reads back.

use super::family::{Family, FamilyKind, Value};
use super::labels::LabelSet;
use super::page::Page;
use super::write::Format;
use proptest::prelude::*;
use std::collections::BTreeMap;

type Labels = BTreeMap<String, String>;

/// What a page says, by name and labels of each value.
#[derive(Debug, Default, PartialEq)]
struct Parsed {
    /// Type, help and unit by family.
    families: BTreeMap<String, (String, String, String)>,
    values: BTreeMap<(String, Labels), u64>,
}

/// Reads one value of a comment or label up to `end`, and undoes its escapes.
fn unescape(text: &str, end: Option<char>) -> (String, &str) {
    let (mut out, mut chars) = (String::new(), text.char_indices());
    while let Some((at, c)) = chars.next() {
        if Some(c) == end {
            return (out, &text[at + 1..]);
        }
        out.push(match c {
            '\\' => match chars.next().expect("an escape is complete").1 {
                'n' => '\n',
                other => other,
            },
            other => other,
        });
    }
    assert_eq!(end, None, "{text} is never closed");
    (out, "")
}

/// As Go's `ParseFloat` reads it; NaN by one pattern.
fn number(text: &str) -> u64 {
    match text {
        "NaN" => f64::NAN.to_bits(),
        "+Inf" => f64::INFINITY.to_bits(),
        "-Inf" => f64::NEG_INFINITY.to_bits(),
        digits => {
            assert!(
                digits.bytes().all(|b| b.is_ascii_digit() || b"+-.e".contains(&b)),
                "{digits}"
            );
            digits.parse::<f64>().unwrap().to_bits()
        }
    }
}

fn parse(text: &str, format: Format) -> Parsed {
    let mut parsed = Parsed::default();
    let body = match format {
        Format::OpenMetrics => text.strip_suffix("# EOF\n").expect("it ends with EOF"),
        Format::Text => text,
    };
    assert!(body.is_empty() || body.ends_with('\n'));
    let mut current = String::new();
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (what, name) = (words.next().unwrap(), words.next().unwrap().to_owned());
            let rest = words.next().unwrap();
            if what == "HELP" {
                assert!(!parsed.families.contains_key(&name), "{name} is there twice");
                current.clone_from(&name);
                let (help, _) = unescape(rest, None);
                parsed
                    .families
                    .insert(name.clone(), (String::new(), help, String::new()));
            }
            assert_eq!(name, current, "comments of one family stand together");
            let family = parsed.families.get_mut(&name).unwrap();
            match what {
                "HELP" => {}
                "TYPE" => family.0 = rest.into(),
                "UNIT" if format == Format::OpenMetrics => family.2 = rest.into(),
                other => panic!("{other}"),
            }
            continue;
        }
        let name_end = line.find(['{', ' ']).unwrap();
        let (name, mut rest) = line.split_at(name_end);
        assert!(name.starts_with(&current), "{name} stands below {current}");
        let mut labels = Labels::new();
        if let Some(mut inner) = rest.strip_prefix('{') {
            while !inner.starts_with('}') {
                let (label, after) = inner.split_once("=\"").unwrap();
                let (value, after) = unescape(after, Some('"'));
                let is_new = labels.insert(label.into(), value).is_none();
                assert!(is_new, "{label} twice in {line}");
                inner = after.strip_prefix(',').unwrap_or(after);
            }
            rest = &inner[1..];
        }
        let value = number(rest.strip_prefix(' ').unwrap());
        let earlier = parsed.values.insert((name.to_owned(), labels), value);
        assert_eq!(earlier, None, "{line} is there twice");
    }
    parsed
}

/// A page as it was meant, told sample by sample.
type Model = Vec<(Family, Vec<(Labels, Value)>)>;

fn flatten(model: &Model) -> BTreeMap<(String, Labels), u64> {
    let mut values = BTreeMap::new();
    let bits = |value: f64| {
        if value.is_nan() {
            f64::NAN.to_bits()
        } else {
            value.to_bits()
        }
    };
    for (family, samples) in model {
        for (labels, value) in samples {
            let mut add = |ending: &str, le: Option<f64>, value: f64| {
                let mut labels = labels.clone();
                labels.retain(|_, value| !value.is_empty());
                if let Some(le) = le {
                    let le = if le.is_infinite() {
                        "+Inf".into()
                    } else {
                        format!("{le:?}")
                    };
                    labels.insert("le".into(), le);
                }
                values
                    .entry((format!("{}{ending}", family.name), labels))
                    .or_insert(bits(value));
            };
            match value {
                Value::Number(value) => add("", None, *value),
                Value::Summary { count, sum } => {
                    add("_count", None, *count as f64);
                    add("_sum", None, *sum);
                }
                Value::Histogram { buckets, count, sum } => {
                    for (upper, count) in buckets {
                        add("_bucket", Some(*upper), *count as f64);
                    }
                    add("_bucket", Some(f64::INFINITY), *count as f64);
                    add("_count", None, *count as f64);
                    add("_sum", None, *sum);
                }
            }
        }
    }
    values
}

fn any_number() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        any::<u64>().prop_map(|bits| bits as f64),
        (-1_000_000i32..1_000_000).prop_map(|thousandths| f64::from(thousandths) / 1_000.0),
        prop::sample::select(vec![
            0.0,
            -0.0,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MIN_POSITIVE,
            5e-324
        ]),
    ]
}

fn any_value(kind: FamilyKind) -> BoxedStrategy<Value> {
    match kind {
        FamilyKind::Gauge | FamilyKind::Counter => any_number().prop_map(Value::Number).boxed(),
        FamilyKind::Summary => (any::<u64>(), any_number())
            .prop_map(|(count, sum)| Value::Summary { count, sum })
            .boxed(),
        FamilyKind::Histogram => (prop::collection::btree_set(0u32..5_000, 0..6), any_number())
            .prop_map(|(uppers, sum)| {
                // Decimals that a format of fewer digits would change.
                let buckets: Vec<(f64, u64)> = uppers
                    .iter()
                    .zip(1..)
                    .map(|(&upper, count)| (f64::from(upper) / 7.0 + 0.001, count))
                    .collect();
                let count = buckets.len() as u64 + 1;
                Value::Histogram { buckets, count, sum }
            })
            .boxed(),
    }
}

fn any_family() -> impl Strategy<Value = (Family, Vec<(Labels, Value)>)> {
    use FamilyKind::{Counter, Gauge, Histogram, Summary};
    let labels = prop::collection::btree_map("[a-c]", "[a\"\\\\\nö{},=]{0,4}", 0..3);
    (
        prop::sample::select(vec![Gauge, Counter, Summary, Histogram]),
        "[a-c]{1,2}",
        "(|seconds|bytes)",
        "[ab\"\\\\\nö#]{0,8}",
    )
        .prop_flat_map(move |(kind, stem, unit, help)| {
            // Kinds differ in their names, or families would be merged; that is tested with the page.
            let unit_ending = if unit.is_empty() {
                String::new()
            } else {
                format!("_{unit}")
            };
            let name = format!("{}_{stem}{unit_ending}", kind.as_str());
            let family = Family::new(name, kind, &unit, &help);
            let samples = prop::collection::vec((labels.clone(), any_value(kind)), 0..5);
            (Just(family), samples)
        })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(model in prop::collection::vec(any_family(), 0..6)) {
        let mut page = Page::default();
        for (family, samples) in &model {
            let mut family = family.clone();
            for (labels, value) in samples {
                let labels = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
                family.push(LabelSet::new(labels), value.clone());
            }
            page.add(family);
        }
        // Of samples with the same labels the first counts, whole.
        let mut first: BTreeMap<(String, Labels), Value> = BTreeMap::new();
        for (family, samples) in &model {
            for (labels, value) in samples {
                let mut labels = labels.clone();
                labels.retain(|_, value| !value.is_empty());
                first.entry((family.name.clone(), labels)).or_insert_with(|| value.clone());
            }
        }
        let unique: Model = model
            .iter()
            .map(|(family, _)| {
                let own = first.iter().filter(|((name, _), _)| *name == family.name);
                (family.clone(), own.map(|((_, labels), value)| (labels.clone(), value.clone())).collect())
            })
            .collect();
        for format in [Format::Text, Format::OpenMetrics] {
            let text = page.clone().write(format);
            let parsed = parse(&text, format);
            prop_assert_eq!(&parsed.values, &flatten(&unique), "{}", text);
            for (family, samples) in &unique {
                if samples.is_empty() {
                    continue;
                }
                let name = match format {
                    Format::OpenMetrics => family.name.trim_end_matches("_total"),
                    Format::Text => &family.name,
                };
                let (kind, _, unit) = &parsed.families[name];
                prop_assert_eq!(kind, family.kind.as_str());
                prop_assert_eq!(unit, if format == Format::OpenMetrics { &family.unit } else { "" });
            }
            // Quotes in the text format's help stand for themselves, escaped or not, so helps are compared as a set.
            for (_, help, _) in parsed.families.values() {
                prop_assert!(model.iter().any(|(family, _)| family.help == *help) || help == "No help was registered.");
            }
        }
    }
}
