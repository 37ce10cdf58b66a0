//! Gathers the facts: the only part of the doctor that touches the world.

use crate::collect::lock::{FILE_NAME, Holder, holder};
use crate::collect::{Listen, Settings};
use crate::commands::age::{ended_ago, silent_ns};
use crate::commands::doctor::bus::{BusFacts, Place, SpaceFacts};
use crate::commands::doctor::collector::{AnswerFacts, Health, StoreFacts, StorePlace};
use crate::commands::doctor::destinations::{DestinationFacts, FileFacts};
use crate::commands::doctor::host::{HostFacts, parse_remove_ipc, parse_uid_min};
use crate::commands::doctor::slabs::{RefusedFacts, SlabFacts};
use crate::export::regular;
use crate::export::remote_write::{Auth, Destination};
use crate::show;
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use nix::sys::statvfs::statvfs;
use procfs::process::{LimitValue, Process};
use rondo_reader::{Bus, Error, Liveness, Slab};
use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the collector may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// Everything that the checks look at.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) bus: BusFacts,
    /// Absent if there is no bus.
    pub(crate) space: Option<SpaceFacts>,
    pub(crate) slabs: Vec<SlabFacts>,
    pub(crate) refused: Vec<RefusedFacts>,
    pub(crate) refused_count: usize,
    pub(crate) host: HostFacts,
    pub(crate) holder: Holder,
    pub(crate) answer: Option<AnswerFacts>,
    pub(crate) store: StoreFacts,
    pub(crate) destinations: Vec<DestinationFacts>,
    /// The bus directory cannot be listed.
    pub(crate) listing_error: Option<String>,
}

/// Looks at everything.
pub(crate) fn look(settings: &Settings, url: Option<&str>) -> Facts {
    let holder = holder(&settings.bus);
    // Who locks the bus owns the file.
    let collector_uid = match holder {
        Holder::Collector(_) => std::fs::symlink_metadata(settings.bus.join(FILE_NAME))
            .ok()
            .map(|m| m.uid()),
        _ => None,
    };
    let bus = BusFacts {
        path: settings.bus.clone(),
        place: bus_place(&settings.bus),
        collector_uid,
    };
    let mut facts = Facts {
        space: space(&settings.bus),
        bus,
        slabs: Vec::new(),
        refused: Vec::new(),
        refused_count: 0,
        host: host(holder),
        holder,
        answer: answer(settings, url),
        store: store(settings, collector_uid),
        destinations: settings.remote_write.iter().map(destination).collect(),
        listing_error: None,
    };
    match Bus::open(&settings.bus, &settings.limits) {
        Ok(bus) => facts.add_slabs(&bus),
        Err(Error::BusMissing(_)) => {}
        Err(error) => facts.listing_error = Some(error.to_string()),
    }
    facts
}

impl Facts {
    fn add_slabs(&mut self, bus: &Bus) {
        let mut space = self.space.take();
        for slab in bus.slabs() {
            match slab_facts(slab) {
                Ok(found) => {
                    if let Some(space) = &mut space {
                        space.largest_bytes = space.largest_bytes.max(slab.size_bytes());
                        if found.state == Liveness::Live {
                            space.live_bytes += slab.size_bytes();
                        }
                    }
                    self.slabs.push(found);
                }
                Err(error) => self.refused.push(refused(&error)),
            }
        }
        self.space = space;
        self.refused_count = self.refused.len() + bus.refused_count();
        self.refused
            .extend(bus.refused().iter().map(|file| refused(&file.error)));
    }
}

fn slab_facts(slab: &Slab) -> Result<SlabFacts, Error> {
    let (view, counters) = (slab.view()?, slab.live()?);
    let name = slab.path().file_name().unwrap_or_default();
    Ok(SlabFacts {
        file: show::printable(&name.to_string_lossy()),
        uid: slab.owner_uid(),
        state: view.liveness,
        interval_ns: slab.layout().header.interval_ns.get(),
        silent_ns: match view.liveness {
            Liveness::Live => silent_ns(slab, &view, &counters),
            _ => u64::try_from(ended_ago(slab, &view, &counters).as_nanos()).ok(),
        },
        clock_offset_ns: view.clock_offset_ns,
    })
}

fn refused(error: &Error) -> RefusedFacts {
    RefusedFacts {
        reason: show::printable(&error.to_string()),
        is_unreadable: matches!(error, Error::NotReadable(_)),
    }
}

fn bus_place(path: &Path) -> Place {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Place::Directory {
            mode: metadata.mode() & 0o7777,
            uid: metadata.uid(),
        },
        Ok(_) => Place::NotADirectory,
        Err(_) => Place::Missing,
    }
}

fn space(path: &Path) -> Option<SpaceFacts> {
    let (kind, stat) = (statfs(path).ok()?, statvfs(path).ok()?);
    Some(SpaceFacts {
        is_tmpfs: kind.filesystem_type() == TMPFS_MAGIC,
        total_bytes: stat.blocks() * stat.fragment_size(),
        free_bytes: stat.blocks_available() * stat.fragment_size(),
        inodes_total: stat.files(),
        inodes_free: stat.files_available(),
        live_bytes: 0,
        largest_bytes: 0,
    })
}

fn host(holder: Holder) -> HostFacts {
    let max_map_count = std::fs::read_to_string("/proc/sys/vm/max_map_count");
    HostFacts {
        mappings_max: max_map_count.ok().and_then(|text| text.trim().parse().ok()),
        open_files_max: open_files_max(holder),
        // The directory by which programs are to tell, as sd_booted(3) says.
        removes_ipc: Path::new("/run/systemd/system")
            .is_dir()
            .then(|| removes_ipc(Path::new("/"))),
        uid_min: parse_uid_min(&std::fs::read_to_string("/etc/login.defs").unwrap_or_default()),
    }
}

/// The collector's limit, if it may be seen, or what one started from here would have.
fn open_files_max(holder: Holder) -> Option<u64> {
    if let Holder::Collector(Some(pid)) = holder
        && let Ok(limits) = i32::try_from(pid).map_err(|_| ()).and_then(|pid| {
            Process::new(pid)
                .and_then(|process| process.limits())
                .map_err(|_| ())
        })
    {
        return Some(match limits.max_open_files.soft_limit {
            LimitValue::Value(max) => max,
            LimitValue::Unlimited => u64::MAX,
        });
    }
    getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(_, hard)| hard)
}

/// logind's setting: its file, then drop-ins by their names, where of equal names the first directory's counts.
fn removes_ipc(root: &Path) -> bool {
    let directories = ["etc", "run", "usr/lib"].map(|directory| root.join(directory).join("systemd"));
    let main = directories
        .iter()
        .find_map(|directory| std::fs::read_to_string(directory.join("logind.conf")).ok());
    let mut drop_ins: BTreeMap<std::ffi::OsString, PathBuf> = BTreeMap::new();
    for directory in &directories {
        let entries = std::fs::read_dir(directory.join("logind.conf.d"));
        for path in entries.into_iter().flatten().flatten().map(|entry| entry.path()) {
            if path.extension().is_some_and(|extension| extension == "conf") {
                let name = path.file_name().unwrap_or_default().to_owned();
                drop_ins.entry(name).or_insert(path);
            }
        }
    }
    let drop_ins = drop_ins
        .values()
        .filter_map(|path| std::fs::read_to_string(path).ok());
    let files: Vec<String> = main.into_iter().chain(drop_ins).collect();
    parse_remove_ipc(files.iter().map(String::as_str))
}

/// Asks the collector how it is; `None` if there is no address to ask at.
fn answer(settings: &Settings, url: Option<&str>) -> Option<AnswerFacts> {
    let (url, is_asked_for) = match (url, &settings.listen) {
        (Some(url), _) => (url.trim_end_matches('/').to_owned(), true),
        (None, Listen::Tcp(address)) if address.ip().is_unspecified() => {
            (format!("http://localhost:{}", address.port()), false)
        }
        (None, Listen::Tcp(address)) => (format!("http://{address}"), false),
        (None, Listen::Unix(_) | Listen::Nowhere) => return None,
    };
    let answer = ask(&format!("{url}/metrics/health"));
    Some(AnswerFacts {
        url,
        is_asked_for,
        answer,
    })
}

fn ask(url: &str) -> Result<Health, String> {
    // `ureq` panics over TLS that is not set up, and a collector has none.
    if url
        .parse()
        .is_ok_and(|uri: ureq::http::Uri| uri.scheme_str() == Some("https"))
    {
        return Err("a collector does not speak TLS: its address begins with http://".to_owned());
    }
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(ANSWER_MAX))
        // It is this host that is asked.
        .proxy(None)
        .max_redirects(0)
        // 503 if it has problems, and then it says which.
        .http_status_as_error(false)
        .build();
    let agent = ureq::Agent::new_with_config(config);
    let mut response = agent.get(url).call().map_err(|error| error.to_string())?;
    let body = response.body_mut().with_config().limit(1 << 20).read_to_vec();
    let body = body.map_err(|error| error.to_string())?;
    serde_json::from_slice(&body)
        .map_err(|_| "it is not a collector: its answer is not the JSON of one".to_owned())
}

fn store(settings: &Settings, collector_uid: Option<u32>) -> StoreFacts {
    let path = &settings.store;
    let place = match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => StorePlace::Directory {
            mode: metadata.mode() & 0o7777,
            uid: metadata.uid(),
            used_bytes: used_bytes(path, 0),
        },
        Ok(_) => StorePlace::NotADirectory,
        Err(_) => StorePlace::Missing,
    };
    // A store that is still to be made will be on the file system of what is there of its path.
    let free = path.ancestors().find_map(|there| statvfs(there).ok());
    StoreFacts {
        path: path.clone(),
        place,
        free_bytes: free.map(|stat| stat.blocks_available() * stat.fragment_size()),
        budget_bytes: settings.store_budget_bytes,
        writer_uid: collector_uid.unwrap_or_else(|| nix::unistd::geteuid().as_raw()),
        has_collector: collector_uid.is_some(),
    }
}

fn destination(destination: &Destination) -> DestinationFacts {
    let secret = match &destination.auth {
        Auth::None => None,
        Auth::Basic { password_file, .. } => Some(password_file),
        Auth::Bearer { token_file } => Some(token_file),
    };
    let tls = &destination.tls;
    let secrets = [secret, tls.key_file.as_ref()].into_iter().flatten();
    let others = [&tls.ca_file, &tls.cert_file].into_iter().flatten();
    let facts = |path: &PathBuf, is_secret: bool| {
        // One byte tells whether there is something and whether it may be read.
        let first = regular::read(path).and_then(|file| {
            let mode = file.metadata()?.mode();
            Ok((file.take(1).read(&mut [0])?, mode))
        });
        let mode = first.as_ref().map_or(0, |(_, mode)| *mode);
        FileFacts {
            path: path.clone(),
            is_open_secret: is_secret && mode & 0o007 != 0,
            error: match first {
                Ok((0, _)) => Some("it is empty".to_owned()),
                Ok(_) => None,
                Err(error) => Some(error.to_string()),
            },
        }
    };
    let secrets = secrets.map(|path| facts(path, true));
    DestinationFacts {
        name: destination.name.clone(),
        files: secrets.chain(others.map(|path| facts(path, false))).collect(),
    }
}

/// Directories below a store's own that are looked into.
const STORE_DEPTH_MAX: u32 = 3;

/// What the files of a store take.
fn used_bytes(directory: &Path, depth: u32) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let bytes = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_file() => 512 * metadata.blocks(),
        Ok(metadata) if metadata.is_dir() && depth < STORE_DEPTH_MAX => used_bytes(&entry.path(), depth + 1),
        _ => 0,
    };
    entries.map(bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_takes_what_its_files_take_also_in_directories() {
        let store = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(store.path().join("a/b")).unwrap();
        for file in ["one", "a/two", "a/b/three"] {
            std::fs::write(store.path().join(file), vec![1; 8_192]).unwrap();
        }
        std::os::unix::fs::symlink("/", store.path().join("root")).unwrap();
        assert_eq!(used_bytes(store.path(), 0), 3 * 8_192);
    }

    #[test]
    fn of_equal_names_etc_wins_and_drop_ins_follow_the_file() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, removes: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, format!("[Login]\nRemoveIPC={removes}\n")).unwrap();
        };
        assert!(removes_ipc(root.path()));
        write("usr/lib/systemd/logind.conf", "no");
        assert!(!removes_ipc(root.path()));
        write("etc/systemd/logind.conf", "yes");
        assert!(removes_ipc(root.path()));
        write("usr/lib/systemd/logind.conf.d/50-a.conf", "no");
        write("usr/lib/systemd/logind.conf.d/60-notes.txt", "yes");
        assert!(!removes_ipc(root.path()));
        write("etc/systemd/logind.conf.d/50-a.conf", "yes");
        assert!(removes_ipc(root.path()));
        write("run/systemd/logind.conf.d/90-b.conf", "no");
        assert!(!removes_ipc(root.path()));
    }
}
