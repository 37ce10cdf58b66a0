//! How a slab comes into being: made in full under another name, then renamed.
//!
//! Whatever can fail does so here, before the first record: the space is allocated (a hole would be
//! a SIGBUS in the VMM once the tmpfs is full), touched, and locked. Readers never see a slab
//! half made, and an error leaves nothing behind.

use crate::error::CreateError;
use crate::mapping::Memory;
use crate::origin::Origin;
use crate::schema::SchemaConfig;
use crate::writer::Warning;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, FcntlArg, OFlag, RenameFlags, fcntl, openat, posix_fallocate, renameat2};
use nix::libc;
use nix::sys::stat::{Mode, SFlag, fchmod, fstat};
use nix::sys::statfs::{TMPFS_MAGIC, fstatfs};
use nix::unistd::{UnlinkatFlags, unlinkat};
use rondo_shm_layout::sync::Ordering;
use rondo_shm_layout::{
    DistributionWords, FLAG_SIMULATED_TIME, Header, Identity, LiveWords, MAGIC, Plan, SENTINEL, SectionKind,
    TextRef, VERSION_MAJOR, VERSION_MINOR, fnv1a_64,
};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use zerocopy::IntoBytes;

/// The constant bytes of a slab to be.
pub(crate) struct Image {
    plan: Plan,
    header: Header,
    identity: Identity,
    tiers: Vec<u8>,
    strings: Vec<u8>,
}

impl Image {
    pub(crate) fn new(
        instance: &str,
        labels: &[u8],
        schema: &SchemaConfig,
        origin: &Origin,
        part: u32,
        is_simulated: bool,
    ) -> Result<Self, CreateError> {
        let impossible = |why: &str| CreateError::Schema {
            name: schema.name.clone(),
            why: why.to_owned(),
        };
        let (mut capacity, tiers) = schema.plan().map_err(|why| impossible(&why))?;
        // The texts of the identity come on top of what the schema asks for.
        let mut strings = Vec::new();
        let mut texts = [instance.as_bytes(), schema.name.as_bytes(), labels].map(|bytes| {
            let at = strings.len();
            strings.extend(bytes);
            strings.resize(strings.len().next_multiple_of(8), 0);
            TextRef {
                offset: (at as u64).into(),
                length: (bytes.len() as u32).into(),
                reserved: 0.into(),
            }
        });
        let own = u32::try_from(strings.len()).map_err(|_| impossible("its labels are too long"))?;
        capacity.strings_max = capacity.strings_max.next_multiple_of(8).saturating_add(own);
        let plan = Plan::new(&capacity)
            .ok_or_else(|| impossible("slots are 2 to 1,048,576, series 1 to 65,536, tiers 1 to 8"))?;
        for text in &mut texts {
            text.offset = (text.offset.get() + plan.offset(SectionKind::Strings)).into();
        }
        let [instance, schema_name, labels] = texts;
        let (tier, tiers) = (tiers[0].clone(), tiers.as_bytes().to_vec());
        Ok(Self {
            header: Header {
                magic: [0; 8],
                version_major: VERSION_MAJOR.into(),
                version_minor: VERSION_MINOR.into(),
                slot_count: capacity.slot_count.into(),
                schema_hash: fnv1a_64(&tiers).into(),
                interval_ns: tier.interval_ns,
                incompat: 0.into(),
                compat: 0.into(),
                series_capacity: (capacity.series_max + capacity.distribution_max).into(),
                section_count: (plan.table.len() as u16).into(),
                section_entry_size: (size_of::<rondo_shm_layout::SectionEntry>() as u16).into(),
                live_offset: plan.offset(SectionKind::Live).into(),
                file_size: plan.file_size.into(),
            },
            identity: Identity {
                incarnation: origin.incarnation,
                boot_id: origin.boot_id,
                pid: origin.pid.into(),
                uid: origin.uid.into(),
                part: part.into(),
                flags: (if is_simulated { FLAG_SIMULATED_TIME } else { 0 }).into(),
                created_monotonic_ns: origin.monotonic_ns.into(),
                created_realtime_ns: origin.realtime_ns.into(),
                instance,
                schema: schema_name,
                labels,
                reserved: [0; 16],
            },
            plan,
            tiers,
            strings,
        })
    }

    pub(crate) fn size(&self) -> usize {
        self.plan.file_size as usize
    }
}

/// Writes everything into zeroed memory, the magic last.
pub(crate) fn fill(memory: &Memory, new: &Image) -> Result<(), CreateError> {
    let broken = || {
        let rule = rondo_shm_layout::Rule::SectionBounds;
        CreateError::Invalid(rondo_shm_layout::Violation::new(
            rule,
            "the plan does not fit the memory",
        ))
    };
    let image = memory.image();
    let at = |kind| new.plan.offset(kind);
    let constants = [
        (0, new.header.as_bytes()),
        (rondo_shm_layout::SECTION_TABLE_OFFSET, new.plan.table.as_bytes()),
        (at(SectionKind::Identity), new.identity.as_bytes()),
        (at(SectionKind::Tiers), &new.tiers),
        (at(SectionKind::Strings), &new.strings),
    ];
    for (offset, bytes) in constants {
        image.store(offset, bytes).ok_or_else(broken)?;
    }
    let words = |kind: SectionKind| {
        let entry = new.plan.table.iter().find(|entry| entry.kind == kind as u32);
        let (offset, length) = entry.map_or((0, 0), |entry| (entry.offset.get(), entry.length.get()));
        image.words(offset, length as usize / 8).ok_or_else(broken)
    };
    let slots = new.header.slot_count.get() as usize;
    let table = &new.plan.table;
    let stride = |kind: SectionKind| {
        let entry = table.iter().find(|entry| entry.kind == kind as u32);
        entry.map_or(64, |entry| entry.record_size.get() as usize) / 8
    };
    for column in words(SectionKind::Points)?.chunks_exact(stride(SectionKind::Points)) {
        for slot in column.as_chunks::<2>().0.iter().take(slots) {
            slot[1].store(SENTINEL, Ordering::Relaxed);
        }
    }
    for column in words(SectionKind::Distributions)?.chunks_exact(stride(SectionKind::Distributions)) {
        for slot in column.as_chunks::<8>().0.iter().take(slots) {
            for (word, bits) in slot[1..].iter().zip(DistributionWords::UNWRITTEN) {
                word.store(bits, Ordering::Relaxed);
            }
        }
    }
    let live = LiveWords::at(image, new.header.live_offset.get()).ok_or_else(broken)?;
    live.writer_pid
        .store(u64::from(new.identity.pid.get()), Ordering::Relaxed);
    let magic = image.word(0).ok_or_else(broken)?;
    // Release: whoever sees the magic sees all of the above.
    magic.store(u64::from_le_bytes(MAGIC), Ordering::Release);
    Ok(())
}

/// A directory that slabs go into.
pub(crate) struct Directory {
    fd: OwnedFd,
    path: PathBuf,
}

impl Directory {
    pub(crate) fn of(fd: BorrowedFd<'_>, path: &Path) -> Result<Self, CreateError> {
        let fd = fd
            .try_clone_to_owned()
            .map_err(|source| system("use directory", path, source))?;
        Ok(Self {
            fd,
            path: path.to_owned(),
        })
    }
}

fn system(action: &'static str, path: &Path, source: io::Error) -> CreateError {
    CreateError::System {
        action,
        path: path.to_owned(),
        source,
    }
}

/// Opens the bus directory; without one, the default, which is made with the mode of /tmp if missing.
pub(crate) fn open_bus(bus: Option<&Path>) -> Result<Directory, CreateError> {
    let path = bus.unwrap_or(Path::new(crate::DEFAULT_BUS));
    if bus.is_none() && !path.exists() && std::fs::create_dir(path).is_ok() {
        // Not left to the umask: machines of other users come here too.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o1777);
        std::fs::set_permissions(path, mode).map_err(|source| system("open up", path, source))?;
    }
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    match nix::fcntl::open(path, flags, Mode::empty()) {
        Ok(fd) => Ok(Directory {
            fd,
            path: path.to_owned(),
        }),
        Err(Errno::ENOENT) => Err(CreateError::BusMissing(path.to_owned())),
        Err(errno) => Err(system("open bus directory", path, errno.into())),
    }
}

/// Removes a file unless told to keep it.
pub(crate) struct Undo(Option<PathBuf>);

impl Undo {
    pub(crate) fn new(path: Option<PathBuf>) -> Self {
        Self(path)
    }

    pub(crate) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Makes the slab `name` in `directory`.
pub(crate) fn into_directory(
    directory: &Directory,
    new: &Image,
    name: &str,
) -> Result<(Memory, Option<PathBuf>, Vec<Warning>), CreateError> {
    let dot_name = format!(".{name}.{}", std::process::id());
    let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    let fd = match openat(
        &directory.fd,
        dot_name.as_str(),
        flags,
        Mode::S_IRUSR | Mode::S_IWUSR,
    ) {
        Ok(fd) => fd,
        Err(Errno::EACCES | Errno::EPERM | Errno::EROFS) => {
            let uid = nix::unistd::geteuid().as_raw();
            return Err(CreateError::BusNotWritable {
                path: directory.path.clone(),
                uid,
            });
        }
        Err(Errno::ENOSPC | Errno::EDQUOT) => return Err(full(&directory.path, new)),
        Err(Errno::ENOENT) => return Err(CreateError::BusMissing(directory.path.clone())),
        Err(errno) => return Err(system("create a slab in", &directory.path, errno.into())),
    };
    let path = directory.path.join(name);
    let made = make(fd, new, &directory.path).and_then(|(memory, warnings)| {
        let rename = renameat2(
            &directory.fd,
            dot_name.as_str(),
            &directory.fd,
            name,
            RenameFlags::RENAME_NOREPLACE,
        );
        match rename {
            Ok(()) => Ok((memory, Some(path.clone()), warnings)),
            Err(Errno::EEXIST) => Err(CreateError::Exists(path.clone())),
            Err(errno) => Err(system("rename the new slab to", &path, errno.into())),
        }
    });
    if made.is_err() {
        let _ = unlinkat(&directory.fd, dot_name.as_str(), UnlinkatFlags::NoRemoveDir);
    }
    made
}

/// Makes the slab in an open, empty file.
pub(crate) fn into_file(
    file: OwnedFd,
    new: &Image,
) -> Result<(Memory, Option<PathBuf>, Vec<Warning>), CreateError> {
    let path = Path::new("the given descriptor");
    let stat = fstat(&file).map_err(|errno| system("look at", path, errno.into()))?;
    if stat.st_mode & SFlag::S_IFMT.bits() != SFlag::S_IFREG.bits() || stat.st_size != 0 {
        return Err(CreateError::NotAnEmptyFile);
    }
    make(file, new, path).map(|(memory, warnings)| (memory, None, warnings))
}

fn full(path: &Path, new: &Image) -> CreateError {
    CreateError::BusFull {
        path: path.to_owned(),
        needed_bytes: new.plan.file_size,
    }
}

fn make(fd: OwnedFd, new: &Image, path: &Path) -> Result<(Memory, Vec<Warning>), CreateError> {
    let length = libc::off_t::try_from(new.plan.file_size).map_err(|_| full(path, new))?;
    match posix_fallocate(&fd, 0, length) {
        Ok(()) => {}
        Err(Errno::ENOSPC | Errno::EDQUOT | Errno::EFBIG) => return Err(full(path, new)),
        Err(errno) => return Err(system("allocate a slab in", path, errno.into())),
    }
    let file = File::from(fd);
    let memory = Memory::map(&file, new.size()).map_err(|source| system("map a slab in", path, source))?;
    lock(&file).map_err(|errno| match errno {
        Errno::EAGAIN | Errno::EACCES => CreateError::Locked(path.to_owned()),
        errno => system("lock a slab in", path, errno.into()),
    })?;
    fill(&memory, new)?;
    let mode = Mode::S_IRUSR | Mode::S_IRGRP;
    fchmod(&file, mode).map_err(|errno| system("set the mode of a slab in", path, errno.into()))?;
    let is_tmpfs = fstatfs(&file).is_ok_and(|stat| stat.filesystem_type() == TMPFS_MAGIC);
    let warnings = if is_tmpfs {
        Vec::new()
    } else {
        vec![Warning::NotTmpfs(path.to_owned())]
    };
    // The mapping keeps the open file, and so the lock, when the descriptor is closed here.
    Ok((memory, warnings))
}

/// Takes the writer's lock: the whole file's first byte, for as long as the file is open or mapped.
pub(crate) fn lock(file: &File) -> nix::Result<()> {
    let lock = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 1,
        l_pid: 0,
    };
    fcntl(file.as_fd(), FcntlArg::F_OFD_SETLK(&lock)).map(drop)
}

/// For `fstatat` and friends on the file itself, not on what a link points to.
pub(crate) const NO_FOLLOW: AtFlags = AtFlags::AT_SYMLINK_NOFOLLOW;
