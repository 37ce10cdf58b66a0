//! Notices that slabs come and go in the bus directory.
//!
//! inotify says that something changed, and a descriptor that `poll` can wait for says it at once. It
//! is a hint: events can be lost, and where the kernel refuses a watch there are none, so the loop
//! looks again by itself now and then. The directory may be missing, removed and made again, or
//! covered by a mount; [`Watch::check`] finds out.
//!
//! Events of names that no slab has are not news. That a slab's writer ends is: the kernel closes the file
//! that it had open for writing.

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// How the directory stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It is the one that is watched.
    Same,
    /// It was not there before, or is another one.
    New,
    /// It is not there.
    Missing,
}

/// Watches a directory that need not exist.
#[derive(Debug)]
pub struct Watch {
    directory: PathBuf,
    /// Absent if the kernel gives none.
    inotify: Option<Inotify>,
    /// Device and inode of the directory that was found last, and its watch, if the kernel gave one.
    found: Option<((u64, u64), Option<WatchDescriptor>)>,
}

impl Watch {
    /// Nothing is watched before the first [`Self::check`].
    pub fn new(directory: &Path) -> Self {
        let flags = InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC;
        let inotify = Inotify::init(flags);
        if let Err(errno) = inotify {
            tracing::warn!(
                "no inotify ({errno}; fs.inotify.max_user_instances?): new slabs are looked for each second"
            );
        }
        Self {
            directory: directory.to_owned(),
            inotify: inotify.ok(),
            found: None,
        }
    }

    /// Looks whether the directory is there and still the one that is watched, and watches it if not.
    pub fn check(&mut self) -> Presence {
        let Some(id) = directory_id(&self.directory) else {
            self.forget();
            return Presence::Missing;
        };
        if self.found.is_some_and(|(found, _)| found == id) {
            return Presence::Same;
        }
        self.forget();
        let descriptor = self.watch();
        // Another may have taken its place in the meantime; the next check sees to that one.
        if directory_id(&self.directory) == Some(id) {
            self.found = Some((id, descriptor));
        }
        Presence::New
    }

    fn watch(&self) -> Option<WatchDescriptor> {
        let events = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_ONLYDIR;
        match self.inotify.as_ref()?.add_watch(&self.directory, events) {
            Ok(descriptor) => Some(descriptor),
            Err(errno) => {
                let directory = self.directory.display();
                tracing::warn!("cannot watch {directory} ({errno}): new slabs are looked for each second");
                None
            }
        }
    }

    fn forget(&mut self) {
        if let (Some((_, Some(descriptor))), Some(inotify)) = (self.found.take(), &self.inotify) {
            // The kernel has dropped it by itself if the directory is gone.
            let _ = inotify.rm_watch(descriptor);
        }
    }

    /// Whether changes go unnoticed, so that one has to look.
    pub fn is_blind(&self) -> bool {
        !matches!(self.found, Some((_, Some(_))))
    }

    /// Takes in all events; true if slabs may have come or gone since the last call.
    pub fn take_changes(&mut self) -> bool {
        let mut is_changed = false;
        let Some(inotify) = &self.inotify else {
            return false;
        };
        loop {
            match inotify.read_events() {
                Ok(events) => is_changed |= events.iter().any(|event| self.is_news(event)),
                Err(Errno::EINTR) => {}
                Err(_) => return is_changed,
            }
        }
    }

    fn is_news(&self, event: &InotifyEvent) -> bool {
        if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
            return true;
        }
        let is_ours = matches!(self.found, Some((_, Some(descriptor))) if descriptor == event.wd);
        is_ours && event.name.as_deref().is_some_and(is_slab_name)
    }

    /// Readable when there are events.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.inotify.as_ref().map(AsFd::as_fd)
    }
}

fn directory_id(directory: &Path) -> Option<(u64, u64)> {
    let metadata = std::fs::metadata(directory)
        .ok()
        .filter(std::fs::Metadata::is_dir)?;
    Some((metadata.dev(), metadata.ino()))
}

/// As section 2 of the specification has it: names with a dot in front are slabs in the making.
fn is_slab_name(name: &OsStr) -> bool {
    let name = name.as_bytes();
    !name.starts_with(b".") && name.ends_with(b".slab")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rondo_writer::Writer;

    #[test]
    fn a_machine_that_comes_ends_and_goes_is_noticed_each_time() {
        let bus = tempfile::tempdir().unwrap();
        let mut watch = Watch::new(bus.path());
        assert_eq!((watch.check(), watch.check()), (Presence::New, Presence::Same));
        assert!(!watch.take_changes() && !watch.is_blind());
        let mut writer = Writer::builder("vm-1").bus(bus.path()).create().unwrap();
        assert!(watch.take_changes() && !watch.take_changes());
        writer.gauge("load").owned().unwrap();
        writer.tick();
        assert!(!watch.take_changes(), "recording is no event");
        let path = writer.paths().next().unwrap().to_owned();
        writer.close();
        assert!(watch.take_changes() && !watch.take_changes());
        std::fs::remove_file(path).unwrap();
        assert!(watch.take_changes() && !watch.take_changes());
    }

    #[test]
    fn names_of_other_files_are_no_news() {
        let bus = tempfile::tempdir().unwrap();
        let mut watch = Watch::new(bus.path());
        watch.check();
        for name in [
            ".vm-1.vmm.00000000.slab.17",
            ".collector.lock",
            "notes.txt",
            ".x.slab",
        ] {
            std::fs::write(bus.path().join(name), "x").unwrap();
        }
        assert!(!watch.take_changes());
        std::fs::write(bus.path().join("x.slab"), "x").unwrap();
        assert!(watch.take_changes());
    }

    #[test]
    fn the_directory_may_come_late_go_and_come_again() {
        let parent = tempfile::tempdir().unwrap();
        let bus = parent.path().join("bus");
        let mut watch = Watch::new(&bus);
        assert_eq!(watch.check(), Presence::Missing);
        assert!(watch.is_blind());
        for _ in 0..3 {
            std::fs::create_dir(&bus).unwrap();
            assert_eq!((watch.check(), watch.check()), (Presence::New, Presence::Same));
            std::fs::write(bus.join("a.slab"), "").unwrap();
            assert!(watch.take_changes());
            std::fs::remove_dir_all(&bus).unwrap();
            assert_eq!(watch.check(), Presence::Missing);
        }
        // Replaced between two checks; the old one is alive elsewhere, and no longer ours.
        std::fs::create_dir(&bus).unwrap();
        watch.check();
        let old = parent.path().join("old");
        std::fs::rename(&bus, &old).unwrap();
        std::fs::create_dir(&bus).unwrap();
        assert_eq!(watch.check(), Presence::New);
        watch.take_changes();
        std::fs::write(old.join("a.slab"), "").unwrap();
        assert!(!watch.take_changes());
        std::fs::write(bus.join("a.slab"), "").unwrap();
        assert!(watch.take_changes());
        std::fs::write(parent.path().join("file"), "").unwrap();
        assert_eq!(Watch::new(&parent.path().join("file")).check(), Presence::Missing);
    }

    /// More events than the kernel keeps (16,384 unless told otherwise) must end in a rescan, not in silence.
    #[test]
    fn an_overflow_is_a_change() {
        let bus = tempfile::tempdir().unwrap();
        let mut watch = Watch::new(bus.path());
        watch.check();
        let limit = std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
        let limit: u32 = limit.trim().parse().unwrap();
        // Names that are no news; two in turn, as equal events are merged.
        for i in 0..=limit {
            let path = bus.path().join(["a", "b"][i as usize % 2]);
            std::fs::write(&path, "").unwrap();
        }
        assert!(watch.take_changes());
    }
}
