//! Relabelling, by cases worked out from Prometheus' description of each action, and against an obvious version.

use super::*;
use RelabelAction as Action;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    let mut labels: Labels = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    labels.sort();
    labels
}

fn rule(action: Action, change: impl FnOnce(&mut RelabelConfig)) -> RelabelConfig {
    let mut config = RelabelConfig {
        action,
        ..RelabelConfig::default()
    };
    change(&mut config);
    config
}

fn of(sources: &[&str]) -> Vec<String> {
    sources.iter().map(|&source| source.to_owned()).collect()
}

/// `sources`, `regex`, `target`, `replacement`.
fn replace(sources: &[&str], regex: &str, target: &str, replacement: &str) -> RelabelConfig {
    rule(Action::Replace, |config| {
        config.source_labels = of(sources);
        config.regex = regex.into();
        config.target_label = Some(target.into());
        config.replacement = replacement.into();
    })
}

fn filter(action: Action, sources: &[&str], regex: &str) -> RelabelConfig {
    rule(action, |config| {
        config.source_labels = of(sources);
        config.regex = regex.into();
    })
}

fn run(rules: &[RelabelConfig], input: &[(&str, &str)]) -> Option<Labels> {
    let rules: Vec<RelabelRule> = rules
        .iter()
        .map(|config| RelabelRule::new(config.clone()).unwrap())
        .collect();
    relabel(&rules, labels(input))
}

const SERIES: [(&str, &str); 4] = [("__name__", "up"), ("a", "foo"), ("b", "bar"), ("c", "baz")];

/// What is changed in [`SERIES`]: an empty value removes a label.
fn changes(rules: &[RelabelConfig], changed: &[(&str, &str)]) {
    let mut expected = BTreeMap::from(SERIES);
    for (name, value) in changed {
        expected.insert(name, value);
        if value.is_empty() {
            expected.remove(name);
        }
    }
    let expected: Vec<(&str, &str)> = expected.into_iter().collect();
    assert_eq!(run(rules, &SERIES), Some(labels(&expected)), "{rules:?}");
}

#[test]
fn replace_sets_its_target_to_what_the_groups_took() {
    changes(
        &[replace(&["a"], "f(.*)", "d", "ch${1}-ch${1}")],
        &[("d", "choo-choo")],
    );
    changes(
        &[replace(&["a", "b"], "f(.*);(.*)r", "a", "b${1}${2}m")],
        &[("a", "boobam")],
    );
    changes(
        &[replace(&["a"], "(?P<rest>f.*)", "d", "${rest}$$")],
        &[("d", "foo$")],
    );
    // By default the whole value, and a source that is not there is empty.
    changes(&[replace(&["a"], "(.*)", "d", "$1")], &[("d", "foo")]);
    changes(&[replace(&["missing", "a"], "(.*)", "d", "$1")], &[("d", ";foo")]);
    changes(&[replace(&[], "(.*)", "d", "fixed")], &[("d", "fixed")]);
    let mut dashed = replace(&["a", "b"], "(.*)", "d", "$1");
    dashed.separator = "-".into();
    changes(&[dashed], &[("d", "foo-bar")]);
}

#[test]
fn replace_leaves_a_series_that_does_not_match_as_a_whole() {
    for regex in ["f", "oo", "F.*", "foo|"] {
        let changed: &[(&str, &str)] = if regex == "foo|" { &[("d", "x")] } else { &[] };
        changes(&[replace(&["a"], regex, "d", "x")], changed);
    }
}

#[test]
fn an_empty_replacement_removes_the_label() {
    changes(&[replace(&["a"], "foo", "b", "")], &[("b", "")]);
    changes(&[replace(&["a"], "f(x?)oo", "b", "${1}")], &[("b", "")]);
    changes(&[replace(&[], "(.*)", "missing", "")], &[]);
    // The default replacement, of a regex without a group.
    changes(&[replace(&["a"], "foo", "b", "$1")], &[("b", "")]);
}

#[test]
fn a_target_may_be_named_by_a_group() {
    changes(&[replace(&["a"], "(.*)", "x_${1}", "y")], &[("x_foo", "y")]);
    // What is no name is left alone.
    changes(&[replace(&["a"], "f(.*)()", "${2}", "y")], &[]);
    changes(&[replace(&["a"], "(.*)", "${1}-x", "y")], &[]);
}

#[test]
fn keep_and_drop_decide_about_the_series() {
    for (regex, matches) in [
        ("foo", true),
        ("f|foo", true),
        ("fo", false),
        (".*o.*", true),
        ("", false),
    ] {
        assert_eq!(
            run(&[filter(Action::Keep, &["a"], regex)], &SERIES).is_some(),
            matches,
            "{regex}"
        );
        assert_eq!(
            run(&[filter(Action::Drop, &["a"], regex)], &SERIES).is_none(),
            matches,
            "{regex}"
        );
    }
    assert!(run(&[filter(Action::Keep, &["a", "b"], "foo;bar")], &SERIES).is_some());
    assert!(run(&[filter(Action::Drop, &["missing"], "")], &SERIES).is_none());
    // Nothing after it counts.
    let rules = [
        filter(Action::Drop, &["a"], "foo"),
        replace(&[], "(.*)", "a", "x"),
    ];
    assert_eq!(run(&rules, &SERIES), None);
    // Also across lines, as a value may have several.
    assert!(
        run(
            &[filter(Action::Drop, &["a"], "x.*z")],
            &[("__name__", "up"), ("a", "x\ny\nz")]
        )
        .is_none()
    );
}

#[test]
fn labels_are_kept_dropped_and_copied_by_name() {
    changes(&[filter(Action::LabelDrop, &[], "a|b")], &[("a", ""), ("b", "")]);
    changes(
        &[filter(Action::LabelKeep, &[], "__name__|c")],
        &[("a", ""), ("b", "")],
    );
    let mut map = filter(Action::LabelMap, &[], "([ab])");
    map.replacement = "meta_${1}".into();
    changes(&[map], &[("meta_a", "foo"), ("meta_b", "bar")]);
    // The last in the order of names wins.
    let mut onto_one = filter(Action::LabelMap, &[], "a|b");
    onto_one.replacement = "c".into();
    changes(&[onto_one], &[("c", "bar")]);
    assert_eq!(run(&[filter(Action::LabelDrop, &[], "__name__")], &SERIES), None);
}

#[test]
fn case_is_changed() {
    let to = |action, sources: &[&str]| {
        rule(action, |config| {
            config.source_labels = of(sources);
            config.target_label = Some("d".into());
        })
    };
    changes(&[to(Action::Uppercase, &["a", "b"])], &[("d", "FOO;BAR")]);
    changes(
        &[
            to(Action::Uppercase, &["a"]),
            replace(&["d"], "(.*)", "a", "$1"),
            to(Action::Lowercase, &["a"]),
        ],
        &[("a", "FOO"), ("d", "foo")],
    );
    changes(&[to(Action::Lowercase, &["missing"])], &[]);
}

#[test]
fn labels_for_the_rules_alone_do_not_leave() {
    let rules = [
        replace(&["a"], "(.*)", "__tmp", "$1"),
        replace(&["__tmp"], "f(.*)", "d", "$1"),
    ];
    changes(&rules, &[("d", "oo")]);
}

#[test]
fn a_name_that_is_no_metric_drops_the_series() {
    changes(
        &[replace(&["__name__"], "(.*)", "__name__", "vm_$1")],
        &[("__name__", "vm_up")],
    );
    for name in ["", "a-b", "1a", "ä"] {
        assert_eq!(
            run(&[replace(&[], "(.*)", "__name__", name)], &SERIES),
            None,
            "{name}"
        );
    }
    // Names with their endings may be longer than those in a slab.
    let long = "x".repeat(250);
    assert!(run(&[replace(&[], "(.*)", "__name__", &long)], &SERIES).is_some());
}

#[test]
fn what_is_wrong_with_a_rule_names_its_key() {
    for (config, key, says) in [
        (
            replace(&["a"], "(", "d", "x"),
            "regex",
            "not a regular expression",
        ),
        (
            replace(&["a"], "a)|(b", "d", "x"),
            "regex",
            "not a regular expression",
        ),
        (
            replace(&["a"], "((a{1000}){1000}){1000}", "d", "x"),
            "regex",
            "too big",
        ),
        (replace(&["a-b"], "(.*)", "d", "x"), "source_labels", "`a-b`"),
        (replace(&["a"], "(.*)", "d-e", "x"), "target_label", "`d-e`"),
        (
            replace(&["a"], "(.*)", "d", "$1_total"),
            "replacement",
            "`1_total`",
        ),
        (replace(&["a"], "(.*)", "d", "${2}"), "replacement", "`2`"),
        (replace(&["a"], "(.*)", "d", "${who}"), "replacement", "`who`"),
        (replace(&["a"], "(.*)", "x$3", "y"), "target_label", "`3`"),
        (RelabelConfig::default(), "target_label", "replace needs one"),
        (
            filter(Action::Keep, &[], "x"),
            "source_labels",
            "keep needs at least one",
        ),
        (
            filter(Action::LabelDrop, &["a"], "x"),
            "source_labels",
            "labeldrop looks at",
        ),
    ] {
        let error = RelabelRule::new(config).unwrap_err();
        assert_eq!(error.key, key, "{error}");
        assert!(error.reason.contains(says), "{error}");
    }
}

/// Rules are run for every series and row.
#[test]
fn rules_that_do_not_apply_allocate_nothing() {
    let mut map = filter(Action::LabelMap, &[], "meta_(.*)");
    map.replacement = "$1".into();
    let rules = [
        filter(Action::Keep, &["a"], "f.*"),
        filter(Action::Drop, &["__name__"], "down|.*_info"),
        replace(&["b"], "x(.*)", "d", "${1}"),
        replace(&["b"], "x.*", "d", "fixed"),
        filter(Action::LabelDrop, &[], "schema|incarnation"),
        filter(Action::LabelKeep, &[], "__name__|[a-c]"),
        map,
    ]
    .map(|config| RelabelRule::new(config).unwrap());
    let (first, second) = (labels(&SERIES), labels(&SERIES));
    // A regular expression makes its scratch space when it is first used.
    relabel(&rules, first).unwrap();
    let mut left = None;
    let counted = allocation_counter::measure(|| left = relabel(&rules, second));
    assert_eq!((counted.count_total, left), (0, Some(labels(&SERIES))));
}

/// One rule on a map, as the description has it; values and regexes of a handful.
fn naive(config: &RelabelConfig, series: &mut BTreeMap<String, String>) -> bool {
    let parts: Vec<String> = config
        .source_labels
        .iter()
        .map(|label| series.get(label).cloned().unwrap_or_default())
        .collect();
    let source = parts.join(&config.separator);
    let regex = Regex::new(&format!("^(?s:{})$", config.regex)).unwrap();
    let target = config.target_label.clone().unwrap_or_default();
    match config.action {
        Action::Keep => return regex.is_match(&source),
        Action::Drop => return !regex.is_match(&source),
        Action::LabelKeep => series.retain(|name, _| regex.is_match(name)),
        Action::LabelDrop => series.retain(|name, _| !regex.is_match(name)),
        Action::LabelMap => {
            for (name, value) in series.clone() {
                if regex.is_match(&name) {
                    let to = regex.replace(&name, config.replacement.as_str()).into_owned();
                    if is_label_name(&to) {
                        series.insert(to, value);
                    }
                }
            }
        }
        Action::Replace => {
            if regex.is_match(&source) {
                let to = regex.replace(&source, target.as_str()).into_owned();
                if is_label_name(&to) {
                    series.insert(
                        to,
                        regex.replace(&source, config.replacement.as_str()).into_owned(),
                    );
                }
            }
        }
        Action::Lowercase => drop(series.insert(target, source.to_lowercase())),
        Action::Uppercase => drop(series.insert(target, source.to_uppercase())),
    }
    series.retain(|_, value| !value.is_empty());
    true
}

fn any_rule() -> impl Strategy<Value = RelabelConfig> {
    let label = || prop::sample::select(vec!["__name__", "a", "b", "c", "__x", "d"]).prop_map(str::to_owned);
    let regex = prop::sample::select(vec![
        "(.*)",
        "(a)",
        "(a|b).*",
        "(.*)a(.*)",
        "([ab]*);([ab]*)",
        "(__x|__name__)",
    ]);
    let template = prop::sample::select(vec!["$1", "b", "", "x${1}y", "a$$"]);
    let target = prop_oneof![label(), Just("$1".to_owned())];
    (
        0..8usize,
        prop::collection::vec(label(), 1..3),
        regex,
        target,
        template,
    )
        .prop_map(|(action, sources, regex, target, replacement)| {
            let action = Action::ALL[action];
            let on_names = matches!(action, Action::LabelDrop | Action::LabelKeep | Action::LabelMap);
            let target = if action == Action::Replace {
                target
            } else {
                target.replace('$', "t")
            };
            RelabelConfig {
                action,
                source_labels: if on_names { Vec::new() } else { sources },
                regex: regex.into(),
                target_label: Some(target),
                replacement: replacement.into(),
                ..RelabelConfig::default()
            }
        })
}

proptest! {
    #[test]
    fn rules_do_what_a_map_would(
        rules in prop::collection::vec(any_rule(), 0..6),
        series in prop::collection::btree_map("[abc]|__x", "[abA]{1,3}", 0..5),
    ) {
        let mut series = series;
        series.insert("__name__".into(), "ab".into());
        let given: Labels = series.clone().into_iter().collect();
        let stays = rules.iter().all(|rule| naive(rule, &mut series));
        series.retain(|name, _| !name.starts_with("__") || name == NAME);
        let is_named = series.get(NAME).is_some_and(|name| is_metric_name(name));
        let expected: Option<Labels> = (stays && is_named).then(|| series.into_iter().collect());
        let rules: Result<Vec<RelabelRule>, RuleError> = rules.into_iter().map(RelabelRule::new).collect();
        // A target `t1` is a name; all else is right by construction.
        prop_assert_eq!(relabel(&rules.unwrap(), given), expected);
    }

    /// The engine that has the rules need not look at them again.
    #[test]
    fn any_text_makes_a_rule_or_an_error(regex in r"[a()|.*$\\1{}]{0,12}", replacement in r"[a${}1]{0,8}", target in r"[a${}1]{0,8}") {
        if let Ok(rule) = RelabelRule::new(replace(&["a"], &regex, &target, &replacement)) {
            let result = relabel(&[rule], labels(&SERIES)).unwrap_or_default();
            prop_assert!(result.is_sorted_by(|a, b| a.0 < b.0));
            prop_assert!(result.iter().all(|(name, value)| is_label_name(name) && !value.is_empty()
                || name == NAME));
        }
    }
}
