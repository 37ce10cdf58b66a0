//! What `rondo collect` is to do: read from flags, the environment and a file, in this order of precedence.
//!
//! Every setting is a [`Key`] whose value is a text, whatever its source, and one function reads it.
//! So all sources accept the same, and an error names the source where the wrong value stands.
//! The one exception is [`Key::RemoteWrite`]: flags and the environment give URLs, the file gives tables.
//! Nothing here touches the world: flags, variables and the file's text come in as values.

use crate::collect::file::{self, Content, FileError};
use crate::collect::key::Key;
use crate::collect::listen::Listen;
use crate::collect::remote_write;
use crate::export::remote_write::Destination;
use crate::size::Size;
use crate::span::Span;
use rondo_reader::Limits;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

/// The settings of a collector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Directory of the slabs.
    pub bus: PathBuf,
    /// Directory of the store.
    pub store: PathBuf,
    /// How much disk the store takes.
    pub store_budget_bytes: u64,
    /// Where to answer HTTP.
    pub listen: Listen,
    /// How long a slab stays after its writer is gone and all of it is stored.
    pub keep: Duration,
    /// How much is taken from each user of the bus.
    pub limits: Limits,
    /// Where rows are pushed to; no two have the same name.
    pub remote_write: Vec<Destination>,
}

/// What the flags, the environment and the file give.
#[derive(Debug, Default)]
pub struct Sources {
    /// The flags that were given; [`Key::RemoteWrite`] may be there several times.
    pub flags: Vec<(Key, OsString)>,
    /// The environment.
    pub variables: HashMap<OsString, OsString>,
    /// Name and text of the file.
    pub file: Option<(String, String)>,
    /// Whether this is root.
    pub is_root: bool,
}

impl Sources {
    /// A variable of the environment.
    fn variable(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(OsStr::new(name)).map(OsString::as_os_str)
    }
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A value that its key does not take.
    #[error("{origin}: {reason}")]
    Value {
        /// The flag, the variable, or line and key of the file.
        origin: String,
        /// What was found, and what is accepted.
        reason: String,
    },
    /// The file is not what it should be.
    #[error(transparent)]
    File(#[from] FileError),
    /// No default for the store can be found.
    #[error("there is no home directory to keep the store in; name a directory with --store or RONDO_STORE")]
    NoStore,
}

impl Settings {
    /// Reads the settings.
    ///
    /// # Errors
    /// A value, or a key of the file, is wrong: the first such.
    pub fn load(sources: &Sources) -> Result<Self, SettingsError> {
        let Content {
            entries,
            remote_write,
        } = match &sources.file {
            Some((name, text)) => file::parse(name, text)?,
            None => Content::default(),
        };
        // Each value of the file has to be right, even where a flag is stronger.
        for entry in &entries {
            Draft::default().set(entry.key, OsStr::new(&entry.value), &entry.origin)?;
        }
        let mut draft = Draft {
            remote_write: urls(sources)?.unwrap_or(remote_write),
            ..Draft::default()
        };
        for key in Key::ALL {
            if key == Key::RemoteWrite {
                continue; // the only one with several values
            }
            if let Some((_, value)) = sources.flags.iter().find(|(of, _)| *of == key) {
                draft.set(key, value, &key.flag())?;
            } else if let Some(value) = sources.variable(&key.variable()) {
                draft.set(key, value, &key.variable())?;
            } else if let Some(entry) = entries.iter().find(|entry| entry.key == key) {
                draft.set(key, OsStr::new(&entry.value), &entry.origin)?;
            }
        }
        draft.finish(sources)
    }

    /// These settings with what of `new` can change in a running collector, and the names of those that need a restart.
    pub fn reloaded(&self, new: &Self) -> (Self, Vec<Key>) {
        let fixed = [
            (Key::Bus, self.bus == new.bus),
            (Key::Store, self.store == new.store),
            (
                Key::StoreBudget,
                self.store_budget_bytes == new.store_budget_bytes,
            ),
            (Key::Listen, self.listen == new.listen),
        ];
        let changed = fixed
            .into_iter()
            .filter(|(_, is_same)| !is_same)
            .map(|(key, _)| key);
        let next = Self {
            keep: new.keep,
            limits: new.limits,
            remote_write: new.remote_write.clone(),
            ..self.clone()
        };
        (next, changed.collect())
    }
}

/// Settings, some of which are still open.
#[derive(Default)]
struct Draft {
    bus: Option<PathBuf>,
    store: Option<PathBuf>,
    store_budget_bytes: Option<u64>,
    listen: Option<Listen>,
    keep: Option<Duration>,
    limits: Limits,
    remote_write: Vec<Destination>,
}

impl Draft {
    /// Takes in the value of a key.
    fn set(&mut self, key: Key, value: &OsStr, origin: &str) -> Result<(), SettingsError> {
        let wrong = |reason: String| SettingsError::Value {
            origin: origin.to_owned(),
            reason,
        };
        let text = || {
            value
                .to_str()
                .ok_or_else(|| wrong("it is not valid UTF-8".into()))
        };
        let size = |least: u64, shown: &str| {
            let Size(bytes) = text()?.parse().map_err(wrong)?;
            if bytes < least {
                return Err(wrong(format!("it has to be at least {shown}, not {bytes} bytes")));
            }
            Ok(bytes)
        };
        let count = || {
            let text = text()?;
            let count = text.parse::<u64>().ok().filter(|&count| count > 0);
            count.ok_or_else(|| wrong(format!("`{text}` is not a whole number from 1 on")))
        };
        let directory = || {
            if value.is_empty() {
                return Err(wrong("it is empty; a directory is accepted".into()));
            }
            Ok(PathBuf::from(value))
        };
        match key {
            Key::Bus => self.bus = Some(directory()?),
            Key::Store => self.store = Some(directory()?),
            Key::StoreBudget => self.store_budget_bytes = Some(size(STORE_BUDGET_MIN, "16MiB")?),
            Key::Listen => self.listen = Some(text()?.parse().map_err(wrong)?),
            Key::Keep => self.keep = Some(length(text()?).map_err(wrong)?),
            Key::SlabMax => self.limits.slab_bytes_max = size(4_096, "4KiB")?,
            Key::SlabsPerUid => self.limits.slabs_per_uid_max = count()?,
            Key::BytesPerUid => self.limits.bytes_per_uid_max = size(4_096, "4KiB")?,
            Key::SeriesPerUid => self.limits.series_per_uid_max = count()?,
            Key::RemoteWrite => self.remote_write = remote_write::from_urls([text()?]).map_err(wrong)?,
        }
        Ok(())
    }

    fn finish(self, sources: &Sources) -> Result<Settings, SettingsError> {
        let store = match self.store {
            Some(store) => store,
            None => default_store(sources).ok_or(SettingsError::NoStore)?,
        };
        Ok(Settings {
            bus: self.bus.unwrap_or_else(|| rondo_writer::DEFAULT_BUS.into()),
            store,
            store_budget_bytes: self.store_budget_bytes.unwrap_or(2 << 30),
            listen: self.listen.unwrap_or_default(),
            keep: self.keep.unwrap_or(DEFAULT_KEEP),
            limits: self.limits,
            remote_write: self.remote_write,
        })
    }
}

/// The destinations that the flags name, or else the environment; `None` if neither names any.
fn urls(sources: &Sources) -> Result<Option<Vec<Destination>>, SettingsError> {
    let key = Key::RemoteWrite;
    let flags: Vec<&OsStr> = sources
        .flags
        .iter()
        .filter(|(of, _)| *of == key)
        .map(|(_, value)| value.as_os_str())
        .collect();
    let (origin, values) = match sources.variable(&key.variable()) {
        _ if !flags.is_empty() => (key.flag(), flags),
        Some(value) => (key.variable(), vec![value]),
        None => return Ok(None),
    };
    let wrong = |reason: String| SettingsError::Value {
        origin: origin.clone(),
        reason,
    };
    let texts: Option<Vec<&str>> = values.iter().map(|value| value.to_str()).collect();
    let texts = texts.ok_or_else(|| wrong("it is not valid UTF-8".into()))?;
    let urls = texts.into_iter().flat_map(str::split_whitespace);
    remote_write::from_urls(urls).map(Some).map_err(wrong)
}

/// The least that a store may take.
pub(crate) const STORE_BUDGET_MIN: u64 = 16 << 20;

/// How long a slab stays unless told otherwise: long enough to look at it, short beside what a bus has room for.
pub const DEFAULT_KEEP: Duration = Duration::from_secs(60);

/// A length of time; `0s` is one.
pub(super) fn length(text: &str) -> Result<Duration, String> {
    match text.parse() {
        _ if text == "0s" => Ok(Duration::ZERO),
        Ok(Span::Ns(ns)) => Ok(Duration::from_nanos(ns)),
        _ => Err(format!(
            "`{text}` is not a length of time; numbers with ms, s, m, h or d are accepted, such as 60s or 1h30m"
        )),
    }
}

/// What systemd made for the service; else where the system, or this user, keeps such things.
fn default_store(sources: &Sources) -> Option<PathBuf> {
    let variable = |name| sources.variable(name).filter(|value| !value.is_empty());
    if let Some(directories) = variable("STATE_DIRECTORY") {
        // Several are separated by colons, the first is ours.
        return std::env::split_paths(directories).next();
    }
    if sources.is_root {
        return Some("/var/lib/rondo".into());
    }
    let state = variable("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    let home = || variable("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    state.or_else(home).map(|state| state.join("rondo"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(flags: &[(Key, &str)], variables: &[(&str, &str)], file: Option<&str>) -> Sources {
        Sources {
            flags: flags.iter().map(|(key, value)| (*key, value.into())).collect(),
            variables: variables
                .iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            file: file.map(|text| ("rondo.toml".into(), text.into())),
            is_root: true,
        }
    }

    fn load(
        flags: &[(Key, &str)],
        variables: &[(&str, &str)],
        file: Option<&str>,
    ) -> Result<Settings, SettingsError> {
        Settings::load(&sources(flags, variables, file))
    }

    #[test]
    fn defaults_are_those_of_the_documentation() {
        let settings = load(&[], &[], None).unwrap();
        assert_eq!(settings.bus, PathBuf::from("/dev/shm/rondo"));
        assert_eq!(settings.store, PathBuf::from("/var/lib/rondo"));
        assert_eq!(settings.store_budget_bytes, 2 << 30);
        assert_eq!(settings.listen.to_string(), "127.0.0.1:9190");
        assert_eq!(settings.keep, Duration::from_secs(60));
        assert_eq!(settings.limits, Limits::default());
    }

    #[test]
    fn flags_beat_the_environment_which_beats_the_file() {
        let file = "bus = '/file'\nstore = '/file'\nkeep = '1s'\n";
        let environment = [("RONDO_BUS", "/env"), ("RONDO_STORE", "/env")];
        let settings = load(&[(Key::Bus, "/flag")], &environment, Some(file)).unwrap();
        assert_eq!(settings.bus, PathBuf::from("/flag"));
        assert_eq!(settings.store, PathBuf::from("/env"));
        assert_eq!(settings.keep, Duration::from_secs(1));
    }

    #[test]
    fn every_key_is_read_from_each_source() {
        for key in Key::ALL {
            let value = match key {
                Key::Bus | Key::Store => "/x",
                Key::StoreBudget | Key::BytesPerUid | Key::SlabMax => "64MiB",
                Key::Listen => "unix:/run/rondo.sock",
                Key::Keep => "5m",
                Key::SlabsPerUid | Key::SeriesPerUid => "7",
                Key::RemoteWrite => "http://127.0.0.1:9090/api/v1/write",
            };
            let expected = load(&[(key, value)], &[], None).unwrap();
            assert_ne!(expected, load(&[], &[], None).unwrap(), "{key:?}");
            assert_eq!(expected, load(&[], &[(&key.variable(), value)], None).unwrap());
            let file = match key {
                Key::RemoteWrite => format!("[[remote_write]]\nurl = \"{value}\""),
                _ => format!("{} = \"{value}\"", key.name()),
            };
            assert_eq!(expected, load(&[], &[], Some(&file)).unwrap());
        }
    }

    #[test]
    fn a_wrong_value_names_source_key_and_what_is_accepted() {
        let error = load(&[(Key::StoreBudget, "2GB")], &[], None)
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "--store-budget: `2GB` is not a size; sizes are whole numbers of KiB, MiB, GiB, TiB or bytes, such as 512MiB"
        );
        let error = load(&[], &[("RONDO_KEEP", "soon")], None)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("RONDO_KEEP: `soon` is not a length"), "{error}");
        let error = load(&[], &[], Some("\nlisten = 'localhost:1'"))
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("rondo.toml line 2: listen: `localhost:1`"),
            "{error}"
        );
        for (key, wrong) in [
            (Key::StoreBudget, "1MiB"),
            (Key::SlabsPerUid, "0"),
            (Key::Bus, ""),
            (Key::Listen, "unix:"),
            (Key::Keep, "all"),
        ] {
            assert!(load(&[(key, wrong)], &[], None).is_err(), "{key:?} {wrong}");
        }
    }

    /// Otherwise the mistake would show only on the day that the flag is dropped.
    #[test]
    fn a_wrong_value_of_the_file_is_refused_even_if_a_flag_is_stronger() {
        assert!(load(&[(Key::Keep, "1s")], &[], Some("keep = 'x'")).is_err());
    }

    #[test]
    fn several_urls_are_several_flags_or_words_of_the_variable() {
        let (a, b, c) = ("http://a/", "http://b/", "http://c/");
        let file = format!("[[remote_write]]\nurl = '{c}'\ntier = 2");
        let urls = |flags: &[(Key, &str)], variables: &[(&str, &str)]| -> Vec<String> {
            let settings = load(flags, variables, Some(&file)).unwrap();
            settings.remote_write.into_iter().map(|one| one.url).collect()
        };
        let environment = [("RONDO_REMOTE_WRITE", " http://a/ \n http://b/ ")];
        assert_eq!(urls(&[], &[]), [c]);
        assert_eq!(urls(&[], &environment), [a, b]);
        // If there is any flag, then no others are sent to.
        assert_eq!(
            urls(&[(Key::RemoteWrite, b), (Key::RemoteWrite, c)], &environment),
            [b, c]
        );
        // Which is how the file's are switched off.
        assert_eq!(urls(&[], &[("RONDO_REMOTE_WRITE", "")]), [""; 0]);
        let error = load(&[(Key::RemoteWrite, a), (Key::RemoteWrite, "b")], &[], None);
        let error = error.unwrap_err().to_string();
        assert!(
            error.starts_with("--remote-write: `b` is neither http://"),
            "{error}"
        );
        let error = load(&[], &[("RONDO_REMOTE_WRITE", "http://a/ http://a/")], None);
        let error = error.unwrap_err().to_string();
        assert!(
            error.starts_with("RONDO_REMOTE_WRITE: another destination has the same URL"),
            "{error}"
        );
    }

    #[test]
    fn the_store_is_where_systemd_root_or_the_user_keep_such_things() {
        let store = |is_root, variables: &[(&str, &str)]| {
            let sources = Sources {
                is_root,
                ..sources(&[], variables, None)
            };
            Settings::load(&sources).map(|settings| settings.store)
        };
        let home = ("HOME", "/home/a");
        assert_eq!(
            store(false, &[home]).unwrap(),
            PathBuf::from("/home/a/.local/state/rondo")
        );
        assert_eq!(
            store(false, &[home, ("XDG_STATE_HOME", "/s")]).unwrap(),
            PathBuf::from("/s/rondo")
        );
        assert_eq!(store(true, &[home]).unwrap(), PathBuf::from("/var/lib/rondo"));
        let systemd = ("STATE_DIRECTORY", "/var/lib/other:/var/lib/more");
        assert_eq!(store(true, &[systemd]).unwrap(), PathBuf::from("/var/lib/other"));
        assert!(matches!(store(false, &[]), Err(SettingsError::NoStore)));
    }

    #[test]
    fn a_reload_changes_keep_limits_and_destinations_and_reports_the_rest() {
        let old = load(&[], &[], None).unwrap();
        let new = load(
            &[],
            &[],
            Some("keep = '5s'\nslabs_per_uid = 3\nbus = '/b'\nlisten = 'none'\n[[remote_write]]\nurl = 'http://a/'"),
        )
        .unwrap();
        let (next, needs_restart) = old.reloaded(&new);
        assert_eq!(needs_restart, [Key::Bus, Key::Listen]);
        assert_eq!(
            (next.keep, next.limits.slabs_per_uid_max),
            (Duration::from_secs(5), 3)
        );
        assert_eq!((&next.bus, &next.listen), (&old.bus, &old.listen));
        assert_eq!(next.remote_write, [Destination::new("a", "http://a/")]);
        assert_eq!(next.reloaded(&old).0.remote_write, []);
    }
}
