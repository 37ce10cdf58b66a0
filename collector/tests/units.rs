//! The files in `contrib/systemd/` fit the program.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use clap::Parser;
use rondo_collector::cli::{Cli, Command};
use rondo_collector::collect::settings::Sources;
use rondo_collector::collect::{Key, Settings};
use std::path::{Path, PathBuf};

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../contrib/systemd")
        .join(name);
    std::fs::read_to_string(path).unwrap()
}

/// The values of a key, in their order.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    let pairs = unit
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='));
    pairs
        .filter(|(of, _)| *of == key)
        .map(|(_, value)| value)
        .collect()
}

/// A renamed flag or variable would otherwise show on the day of the upgrade.
#[test]
fn the_service_starts_with_flags_and_variables_that_exist() {
    let unit = read("rondo-collector.service");
    let command = values(&unit, "ExecStart")[0];
    let cli = Cli::try_parse_from(command.split_whitespace()).unwrap();
    let Command::Collect(args) = cli.command else {
        panic!("{command} is not the collector");
    };
    let variables = values(&unit, "Environment");
    let named: Vec<String> = Key::ALL.into_iter().map(Key::variable).collect();
    for variable in &variables {
        let name = variable.split_once('=').unwrap().0;
        assert!(named.iter().any(|known| known == name), "{name} is no setting");
    }
    let variables = variables.iter().map(|variable| variable.split_once('=').unwrap());
    let mut variables: Vec<(&str, &str)> = variables.collect();
    variables.push(("STATE_DIRECTORY", "/var/lib/rondo"));
    let settings = Settings::load(&Sources {
        flags: args.flags(),
        variables: variables
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
        ..Sources::default()
    });
    let settings = settings.unwrap();
    assert_eq!(settings.bus, PathBuf::from("/run/rondo"));
    assert_eq!(settings.store, PathBuf::from("/var/lib/rondo"));
    let port = settings.listen.to_string().rsplit_once(':').unwrap().1.to_owned();
    assert_eq!(values(&unit, "SocketBindAllow"), [format!("tcp:{port}")]);
}

/// The collector can remove slabs of other users only as the owner of the sticky directory, and read them only by its group.
#[test]
fn the_bus_is_the_collectors_with_the_mode_that_the_doctor_expects() {
    let service = read("rondo-collector.service");
    let (user, group) = (values(&service, "User")[0], values(&service, "Group")[0]);
    let words = |text: &str| -> Vec<Vec<String>> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .map(|line| line.split_whitespace().map(str::to_owned).collect())
            .collect()
    };
    assert_eq!(
        words(&read("rondo.tmpfiles.conf")),
        [["d", "/run/rondo", "3770", user, group, "-"]]
    );
    assert_eq!(
        words(&read("rondo.sysusers.conf"))[0][..2],
        ["u".to_owned(), user.to_owned()]
    );
    let mount = read("run-rondo.mount");
    assert_eq!(values(&mount, "Where"), ["/run/rondo"]);
    assert!(values(&mount, "Options")[0].contains("mode=3770"));
}

/// Either would make systemd delete slabs when the service stops.
#[test]
fn the_service_does_not_remove_slabs_when_it_stops() {
    let unit = read("rondo-collector.service");
    assert!(values(&unit, "DynamicUser").is_empty() && values(&unit, "RemoveIPC").is_empty());
    assert!(
        values(&unit, "RuntimeDirectory") != ["rondo"],
        "it is removed with what is in it"
    );
}

#[test]
fn the_documentation_lists_every_setting() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operating.md");
    let page = std::fs::read_to_string(path).unwrap();
    for key in Key::ALL {
        let row = format!("| `{}` | `{}` | `{}` |", key.flag(), key.variable(), key.name());
        assert!(page.contains(&row), "{row}");
    }
}
