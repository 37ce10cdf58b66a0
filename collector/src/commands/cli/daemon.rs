//! Arguments of what runs, and looks after, the collector.

use super::{BusArgs, OutputArgs};
use crate::collect::Key;
use crate::size::Size;
use crate::span::Span;
use clap::Args;
use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

/// Arguments of `rondo collect`. Their values are read by [`crate::collect::settings`], like those of the other sources.
#[derive(Debug, Args)]
pub struct Collect {
    /// Directory of the slabs [default: /dev/shm/rondo]
    #[arg(long, value_name = "DIR")]
    pub bus: Option<OsString>,
    /// Directory of the store [default: $STATE_DIRECTORY, /var/lib/rondo for root, or ~/.local/state/rondo]
    #[arg(long, value_name = "DIR")]
    pub store: Option<OsString>,
    /// How much disk the store takes, for ever [default: 2GiB]
    #[arg(long, value_name = "SIZE")]
    pub store_budget: Option<OsString>,
    /// Where to answer HTTP: ADDRESS:PORT, unix:PATH, or none [default: 127.0.0.1:9190]
    #[arg(long, value_name = "WHERE")]
    pub listen: Option<OsString>,
    /// How long a slab stays on the bus after its writer is gone and all of it is stored [default: 60s]
    #[arg(long, value_name = "TIME")]
    pub keep: Option<OsString>,
    /// Largest slab that is read [default: 16MiB]
    #[arg(long, value_name = "SIZE")]
    pub slab_max: Option<OsString>,
    /// Slabs that are taken from one user [default: 20000]
    #[arg(long, value_name = "COUNT")]
    pub slabs_per_uid: Option<OsString>,
    /// Bytes of all slabs that are taken from one user [default: 16GiB]
    #[arg(long, value_name = "SIZE")]
    pub bytes_per_uid: Option<OsString>,
    /// Series, counted by the room for them, that are taken from one user [default: 4000000]
    #[arg(long, value_name = "COUNT")]
    pub series_per_uid: Option<OsString>,
    /// Push rows to a server that takes Prometheus remote write; may be given several times, and is stronger than the
    /// tables of the file, where more can be said
    #[arg(long, value_name = "URL")]
    pub remote_write: Vec<OsString>,
    /// A TOML file with the same settings
    #[arg(long, env = "RONDO_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl Collect {
    /// The flags that were given.
    pub fn flags(&self) -> Vec<(Key, OsString)> {
        let value = |key| match key {
            Key::Bus => &self.bus,
            Key::Store => &self.store,
            Key::StoreBudget => &self.store_budget,
            Key::Listen => &self.listen,
            Key::Keep => &self.keep,
            Key::SlabMax => &self.slab_max,
            Key::SlabsPerUid => &self.slabs_per_uid,
            Key::BytesPerUid => &self.bytes_per_uid,
            Key::SeriesPerUid => &self.series_per_uid,
            Key::RemoteWrite => &None, // below
        };
        let given = Key::ALL.into_iter().map(|key| (key, value(key).clone()));
        let given = given.filter_map(|(key, value)| Some((key, value?)));
        let urls = self.remote_write.iter().cloned();
        given.chain(urls.map(|url| (Key::RemoteWrite, url))).collect()
    }
}

/// Arguments of `rondo gc`.
#[derive(Debug, Args)]
pub struct Gc {
    /// Remove what is found; without it, only list
    #[arg(long)]
    pub remove: bool,
    /// Take only so many, the oldest first, that this much of the file system is free: a size, or a percentage
    #[arg(long, value_name = "SIZE|PERCENT")]
    pub min_free: Option<Free>,
    /// Take only what ended at least so long ago: 30s, 10m, 1h30m, …
    #[arg(long, value_name = "TIME")]
    pub older_than: Option<Span>,
    /// Take also what a collector on the bus may not have stored yet
    #[arg(long)]
    pub force: bool,
    /// Which bus.
    #[command(flatten)]
    pub bus: BusArgs,
    /// How to print it.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// How much of a file system is to be free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Free {
    /// That many bytes.
    Bytes(u64),
    /// That many hundredths of its size.
    Percent(u8),
}

impl Free {
    /// In bytes, of a file system of that size.
    pub fn of(self, total_bytes: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => {
                u64::try_from(u128::from(total_bytes) * u128::from(percent) / 100).unwrap_or(u64::MAX)
            }
        }
    }
}

impl FromStr for Free {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(percent) = text.strip_suffix('%') else {
            return text.parse().map(|Size(bytes)| Self::Bytes(bytes));
        };
        let percent = percent.parse().ok().filter(|percent| *percent <= 100);
        percent
            .map(Self::Percent)
            .ok_or_else(|| format!("`{text}` is not a percentage from 0% to 100%"))
    }
}

/// Arguments of `rondo doctor`. The settings are those of `rondo collect`, from the same sources.
#[derive(Debug, Args)]
pub struct Doctor {
    /// Directory of the slabs [default: as for `rondo collect`]
    #[arg(long, value_name = "DIR")]
    pub bus: Option<OsString>,
    /// The collector's store [default: as for `rondo collect`]
    #[arg(long, value_name = "DIR")]
    pub store: Option<OsString>,
    /// The collector's file of settings
    #[arg(long, env = "RONDO_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the collector answers; without it, the address of the settings is asked, and silence is no failure
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// How to print it.
    #[command(flatten)]
    pub output: OutputArgs,
}

impl Doctor {
    /// The settings that were given as flags.
    pub fn flags(&self) -> Vec<(Key, OsString)> {
        let given = [(Key::Bus, &self.bus), (Key::Store, &self.store)];
        given
            .into_iter()
            .filter_map(|(key, value)| Some((key, value.clone()?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_is_a_size_or_a_percentage() {
        assert_eq!("20%".parse(), Ok(Free::Percent(20)));
        assert_eq!("64MiB".parse(), Ok(Free::Bytes(64 << 20)));
        assert_eq!(Free::Percent(20).of(u64::MAX), u64::MAX / 5);
        for wrong in ["101%", "-1%", "%", "20 %", "x"] {
            assert!(wrong.parse::<Free>().is_err(), "{wrong}");
        }
    }
}
