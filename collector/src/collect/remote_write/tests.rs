//! Tables of the file, as a whole.

use crate::collect::file;
use crate::export::Naming;
use crate::export::remote_write::{
    AggregateConfig, AggregateOp, AggregateRule, Auth, Destination, Grouping, Protocol, RelabelAction,
    RelabelConfig, RelabelRule, Tls,
};
use std::time::Duration;

fn read(text: &str) -> Result<Vec<Destination>, String> {
    file::parse("f", text)
        .map(|content| content.remote_write)
        .map_err(|error| error.to_string())
}

/// The error of a table with a good URL in line 2 and this after it.
fn error(rest: &str) -> String {
    read(&format!("[[remote_write]]\nurl = 'https://h/w'\n{rest}")).unwrap_err()
}

#[test]
fn every_key_is_read() {
    let text = r#"
        [[remote_write]]
        name = "main"
        url = "https://mimir.example/api/v1/push"
        protocol = "2.0"
        tier = 2
        backlog = "6h"
        max_age = "12h"
        batch_samples = 5000
        deadline = "30s"
        base_units = false
        external_labels = { site = "fra-1", env = "prod" }
        headers = { X-Scope-OrgID = "rondo" }
        basic_auth = { user = "rondo", password_file = "/etc/rondo/password" }
        tls = { ca_file = "/ca", cert_file = "/cert", key_file = "/key", insecure_skip_verify = true }

        [[remote_write.relabel]]
        source_labels = ["schema", "instance"]
        separator = "/"
        regex = "vmm/(.*)"
        target_label = "vm"
        replacement = "vm-${1}"

        [[remote_write.relabel]]
        action = "labeldrop"
        regex = "incarnation"

        [[remote_write.aggregate]]
        match = ['{reason="io"}', "up"]
        by = "reason"
        op = "max"
        name = "fleet:{name}:max"
        keep_original = true

        [[remote_write]]
        url = "http://other/"
        bearer_token_file = "/etc/rondo/token"
    "#;
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let relabel = [
        RelabelConfig {
            source_labels: vec!["schema".into(), "instance".into()],
            separator: "/".into(),
            regex: "vmm/(.*)".into(),
            target_label: Some("vm".into()),
            replacement: "vm-${1}".into(),
            ..RelabelConfig::default()
        },
        RelabelConfig {
            action: RelabelAction::LabelDrop,
            regex: "incarnation".into(),
            ..RelabelConfig::default()
        },
    ];
    let aggregate = AggregateConfig {
        matches: vec!["{reason=\"io\"}".into(), "up".into()],
        grouping: Grouping::By(vec!["reason".into()]),
        op: AggregateOp::Max,
        name: "fleet:{name}:max".into(),
        keep_original: true,
    };
    let expected = [
        Destination {
            protocol: Protocol::V2,
            tier: 2,
            backlog: Duration::from_secs(6 * 3_600),
            max_age: Some(Duration::from_secs(12 * 3_600)),
            batch_samples: 5_000,
            deadline: Duration::from_secs(30),
            naming: Naming {
                base_units: false,
                ..Naming::default()
            },
            external_labels: vec![pair("env", "prod"), pair("site", "fra-1")],
            headers: vec![pair("X-Scope-OrgID", "rondo")],
            auth: Auth::Basic {
                user: "rondo".into(),
                password_file: "/etc/rondo/password".into(),
            },
            tls: Tls {
                ca_file: Some("/ca".into()),
                cert_file: Some("/cert".into()),
                key_file: Some("/key".into()),
                insecure_skip_verify: true,
            },
            relabel: relabel.map(|config| RelabelRule::new(config).unwrap()).into(),
            aggregate: vec![AggregateRule::new(aggregate).unwrap()],
            ..Destination::new("main", "https://mimir.example/api/v1/push")
        },
        Destination {
            auth: Auth::Bearer {
                token_file: "/etc/rondo/token".into(),
            },
            ..Destination::new("other", "http://other/")
        },
    ];
    assert_eq!(read(text).unwrap(), expected);
}

#[test]
fn what_is_not_said_is_as_for_a_flag() {
    let url = "http://127.0.0.1:9090/api/v1/write";
    let of_table = read(&format!("[[remote_write]]\nurl = '{url}'")).unwrap();
    assert_eq!(of_table, super::from_urls([url]).unwrap());
    assert_eq!(of_table, [Destination::new("127.0.0.1-9090-api-v1-write", url)]);
    assert_eq!(read("").unwrap(), []);
    assert_eq!(read("remote_write = []").unwrap(), []);
}

#[test]
fn unknown_keys_are_refused_with_the_nearest_known_one_and_the_line() {
    for (rest, says) in [
        (
            "backlock = '1h'",
            "f: unknown key `remote_write.backlock` at line 3; did you mean `backlog`?",
        ),
        (
            "tls = {cafile = '/x'}",
            "f: unknown key `remote_write.tls.cafile` at line 3; did you mean `ca_file`?",
        ),
        (
            "\n[[remote_write.relabel]]\nsource_label = 'a'",
            "f: unknown key `remote_write.relabel.source_label` at line 5; did you mean `source_labels`?",
        ),
        (
            "aggregate = [{match = '{}', withuot = 'a'}]",
            "f: unknown key `remote_write.aggregate.withuot` at line 3; did you mean `without`?",
        ),
    ] {
        assert_eq!(error(rest), says);
    }
    let said = error("x = 1");
    assert!(said.contains("known keys are name, url, protocol"), "{said}");
}

#[test]
fn a_wrong_value_names_line_and_key_and_what_is_accepted() {
    for (rest, says) in [
        (
            "name = 'a/b'",
            "f line 3: remote_write.name: `a/b` is not a name; 1 to 64",
        ),
        ("name = '.a'", "no dot in front"),
        (
            "protocol = '3'",
            "remote_write.protocol: `3` is not a version; \"1.0\" and \"2.0\"",
        ),
        (
            "protocol = 2.0",
            "remote_write.protocol: a string or a whole number is accepted, not a TOML float",
        ),
        (
            "tier = 8",
            "remote_write.tier: `8` is not a whole number from 0 to 7",
        ),
        ("tier = -1", "`-1` is not a whole number"),
        (
            "backlog = 'soon'",
            "remote_write.backlog: `soon` is not a length of time",
        ),
        ("max_age = '0s'", "remote_write.max_age: nothing is younger"),
        ("batch_samples = 0", "`0` is not a whole number from 1 to 50000"),
        ("batch_samples = 50001", "`50001` is not"),
        (
            "deadline = '99ms'",
            "remote_write.deadline: `99ms` is not a time from 100ms to 5m",
        ),
        ("deadline = '301s'", "`301s` is not"),
        (
            "base_units = 1",
            "remote_write.base_units: true or false is accepted",
        ),
        (
            "external_labels = {a-b = 'x'}",
            "remote_write.external_labels.a-b: it is not a label's name",
        ),
        ("external_labels = {__x = 'x'}", "not a label's name"),
        ("external_labels = {le = 'x'}", "Prometheus keeps this label"),
        ("external_labels = {a = ''}", "1 to 1024 bytes"),
        (
            "basic_auth = {user = 'a'}",
            "remote_write.basic_auth.password_file: it is missing",
        ),
        (
            "basic_auth = {user = 'a:b', password_file = '/p'}",
            "basic_auth.user: a name without colons",
        ),
        (
            "basic_auth = {user = 'a', password = 'x'}",
            "no password is in the settings",
        ),
        (
            "basic_auth = {user = 'a', password_file = 'p'}",
            "`p` is not an absolute path",
        ),
        (
            "bearer_token_file = '/t'\nbasic_auth = {user = 'a', password_file = '/p'}",
            "line 3: remote_write.bearer_token_file: there is a basic_auth",
        ),
        (
            "tls = {cert_file = '/c'}",
            "remote_write.tls.cert_file: it needs a key_file",
        ),
        ("tls = {key_file = '/c'}", "it needs a cert_file"),
        (
            "relabel = [{action = 'hashmod'}]",
            "relabel.action: `hashmod` is not known; keep, drop, replace",
        ),
        (
            "relabel = [{action = 'keep', source_labels = 'a', regex = '('}]",
            "f line 3: remote_write.relabel.regex: `(` is not",
        ),
        (
            "\n[[remote_write.relabel]]\naction = 'replace'",
            "f line 4: remote_write.relabel.target_label: replace needs one",
        ),
        (
            "aggregate = [{op = 'sum'}]",
            "remote_write.aggregate.match: it is missing",
        ),
        (
            "aggregate = [{match = 'a{', op = 'sum'}]",
            "remote_write.aggregate.match: expected a label name",
        ),
        (
            "aggregate = [{match = 'a', op = 'avg'}]",
            "`avg` is not known; sum, min, max are accepted",
        ),
        (
            "aggregate = [{match = 'a', by = 'x', without = 'y'}]",
            "there is a without, too",
        ),
        ("aggregate = {match = 'a'}", "a list of tables is accepted"),
    ] {
        let said = error(rest);
        assert!(said.contains(says) && said.contains("line "), "{rest}: {said}");
    }
    let said = read("\n[[remote_write]]\ntier = 1").unwrap_err();
    assert!(
        said.starts_with("f line 2: remote_write.url: it is missing"),
        "{said}"
    );
    let said = read("[[remote_write]]\nurl = 'http://h/'\ntls = {}").unwrap_err();
    assert!(
        said.contains("remote_write.tls: the url is not https://"),
        "{said}"
    );
    let said = read("[remote_write]\nurl = 'http://h/'").unwrap_err();
    assert!(
        said.contains("remote_write: a list of tables is accepted, not a TOML table"),
        "{said}"
    );
}

#[test]
fn headers_of_the_protocol_are_not_for_others() {
    for header in [
        "content-encoding",
        "Content-Type",
        "X-Prometheus-Remote-Write-Version",
        "User-Agent",
        "Host",
        "Content-Length",
        "Transfer-Encoding",
        "Connection",
    ] {
        let said = error(&format!("headers = {{{header} = 'x'}}"));
        assert!(
            said.contains(&format!("remote_write.headers.{header}: rondo sets this header")),
            "{said}"
        );
    }
    assert!(error("headers = {Authorization = 'Bearer x'}").contains("bearer_token_file set this header"));
    assert!(error("headers = {\"a b\" = 'x'}").contains("not a header's name"));
    assert!(error("headers = {a = '1', A = '2'}").contains("there twice"));
    let said = error("headers = {X-Key = \"secret\\n\"}");
    assert!(said.contains("cannot have") && !said.contains("secret"), "{said}");
}

/// Cursors have these names, so they must be neither shared nor moved to another destination.
#[test]
fn names_are_unique_and_depend_on_urls() {
    let names = |text: &str| -> Result<Vec<String>, String> {
        Ok(read(text)?
            .into_iter()
            .map(|destination| destination.name)
            .collect())
    };
    let two = |first: &str, second: &str| {
        names(&format!(
            "[[remote_write]]\n{first}\n[[remote_write]]\n{second}\n"
        ))
    };
    let url = "url = 'http://h/w'";
    assert_eq!(two(url, "url = 'http://h//w'").unwrap(), ["h-w", "h-w-2"]);
    assert_eq!(
        two(url, "url = 'https://h/w'\nname = 'h-w'").unwrap(),
        ["h-w-2", "h-w"]
    );
    assert_eq!(
        two("url = 'http://h/w'\nname = 'a'", "url = 'http://h/w'\nname = 'b'").unwrap(),
        ["a", "b"]
    );
    let said = two(url, url).unwrap_err();
    assert!(
        said.starts_with("f line 3: remote_write.name: another destination has the same URL"),
        "{said}"
    );
    let said = two("url = 'http://a/'\nname = 'x'", "url = 'http://b/'\nname = 'x'").unwrap_err();
    assert_eq!(
        said,
        "f line 6: remote_write.name: `x` is another destination's name, too"
    );
    let many = |count: usize| {
        names(
            &(0..count)
                .map(|n| format!("[[remote_write]]\nurl = 'http://h/{n}'\n"))
                .collect::<String>(),
        )
    };
    assert_eq!(many(32).unwrap().len(), 32);
    assert!(many(33).unwrap_err().contains("at most 32"));
}

#[test]
fn settings_that_are_shown_leak_no_secret() {
    let text = "[[remote_write]]\nurl = 'http://h/w?token=secret'\nheaders = {X-Key = 'secret'}";
    let shown = format!("{:?}", read(text).unwrap());
    assert!(
        shown.contains("http://h/w") && shown.contains("X-Key") && !shown.contains("secret"),
        "{shown}"
    );
}

/// The section of the documentation between two headings.
fn documented(from: &str, to: &str) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operating.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, section) = text.split_once(&format!("\n{from}\n")).unwrap();
    section.split_once(&format!("\n{to}\n")).unwrap().0.to_owned()
}

#[test]
fn examples_of_the_documentation_are_accepted() {
    let section = documented("## Export", "## Signals");
    let examples: Vec<&str> = section
        .split("```toml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    let destinations: Vec<Destination> = examples.iter().flat_map(|text| read(text).unwrap()).collect();
    assert_eq!((examples.len(), destinations.len()), (3, 4));
    let rules: usize = destinations
        .iter()
        .map(|one| one.relabel.len() + one.aggregate.len())
        .sum();
    assert_eq!(rules, 7);
    // What its table gives as defaults are those.
    let (first, defaults) = (&destinations[0], Destination::new("", ""));
    assert_eq!(
        (
            first.protocol,
            first.tier,
            first.backlog,
            first.batch_samples,
            first.deadline,
            first.naming
        ),
        (
            defaults.protocol,
            defaults.tier,
            defaults.backlog,
            defaults.batch_samples,
            defaults.deadline,
            defaults.naming
        )
    );
}

#[test]
fn every_key_is_documented_and_no_other() {
    for (from, to, known) in [
        ("## Export", "### Relabelling", &super::KEYS[..]),
        (
            "### Relabelling",
            "### Aggregation",
            &super::rules::RELABEL_KEYS[..],
        ),
        ("### Aggregation", "## Signals", &super::rules::AGGREGATE_KEYS[..]),
    ] {
        let section = documented(from, to);
        let mut keys: Vec<&str> = section
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
            .collect();
        let mut known = known.to_vec();
        keys.sort_unstable();
        known.sort_unstable();
        assert_eq!(keys, known);
    }
}
