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
use std::sync::Arc;
use zerocopy::IntoBytes;

/// The largest slab that readers take unless they are told otherwise.
pub(crate) const READER_SIZE_MAX: u64 = 16 << 20;

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
        let own = u32::try_from(strings.len()).ok();
        let asked = capacity.strings_max.checked_next_multiple_of(8);
        capacity.strings_max = own
            .zip(asked)
            .and_then(|(own, asked)| own.checked_add(asked))
            .ok_or_else(|| impossible("its texts are to have more than 4 GiB"))?;
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
    fd: Arc<OwnedFd>,
    path: PathBuf,
}

impl Directory {
    pub(crate) fn of(fd: BorrowedFd<'_>, path: &Path) -> Result<Self, CreateError> {
        let fd = fd
            .try_clone_to_owned()
            .map_err(|source| system("use directory", path, source))?;
        Ok(Self {
            fd: Arc::new(fd),
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
    // As a path only: a bus that its machines may not list is a bus all the same.
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    match nix::fcntl::open(path, flags, Mode::empty()) {
        Ok(fd) => Ok(Directory {
            fd: Arc::new(fd),
            path: path.to_owned(),
        }),
        Err(Errno::ENOENT) => Err(CreateError::BusMissing(path.to_owned())),
        Err(Errno::EACCES) => Err(not_writable(path)),
        Err(errno) => Err(system("open bus directory", path, errno.into())),
    }
}

fn not_writable(path: &Path) -> CreateError {
    CreateError::BusNotWritable {
        path: path.to_owned(),
        uid: nix::unistd::geteuid().as_raw(),
    }
}

/// A slab that was made.
pub(crate) struct Made {
    pub(crate) memory: Memory,
    /// Where it is, unless it was made in an open file.
    pub(crate) path: Option<PathBuf>,
    pub(crate) undo: Undo,
    pub(crate) warnings: Vec<Warning>,
}

/// Removes a file from a directory, unless told to keep it.
#[derive(Default)]
pub(crate) struct Undo(Option<(Arc<OwnedFd>, String)>);

impl Undo {
    fn of(directory: &Directory, name: &str) -> Self {
        Self(Some((directory.fd.clone(), name.to_owned())))
    }

    pub(crate) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        if let Some((directory, name)) = &self.0 {
            let _ = unlinkat(directory, name.as_str(), UnlinkatFlags::NoRemoveDir);
        }
    }
}

/// Makes the slab `name` in `directory`.
pub(crate) fn into_directory(directory: &Directory, new: &Image, name: &str) -> Result<Made, CreateError> {
    let dot_name = format!(".{name}.{}", std::process::id());
    let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    let mode = Mode::S_IRUSR | Mode::S_IWUSR;
    let fd = openat(&directory.fd, dot_name.as_str(), flags, mode).map_err(|errno| match errno {
        Errno::EACCES | Errno::EPERM | Errno::EROFS => not_writable(&directory.path),
        Errno::ENOSPC | Errno::EDQUOT => full(&directory.path, new),
        Errno::ENOENT => CreateError::BusMissing(directory.path.clone()),
        errno => system("create a slab in", &directory.path, errno.into()),
    })?;
    let undo = Undo::of(directory, &dot_name);
    let (memory, warnings) = make(&File::from(fd), new, &directory.path)?;
    let path = directory.path.join(name);
    let (from, to) = (dot_name.as_str(), name);
    match renameat2(
        &directory.fd,
        from,
        &directory.fd,
        to,
        RenameFlags::RENAME_NOREPLACE,
    ) {
        Ok(()) => undo.keep(),
        Err(Errno::EEXIST) => return Err(CreateError::Exists(path)),
        Err(errno) => return Err(system("rename the new slab to", &path, errno.into())),
    }
    Ok(Made {
        memory,
        path: Some(path),
        undo: Undo::of(directory, name),
        warnings,
    })
}

/// Makes the slab in an open, empty file. On failure the file is as it was.
pub(crate) fn into_file(file: OwnedFd, new: &Image) -> Result<Made, CreateError> {
    let path = Path::new("the given descriptor");
    let look = |file: &File| fstat(file).map_err(|errno| system("look at", path, errno.into()));
    let file = File::from(file);
    let flags = fcntl(&file, FcntlArg::F_GETFL).map_err(|errno| system("look at", path, errno.into()))?;
    let is_file = look(&file)?.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFREG.bits();
    if !is_file || flags & libc::O_ACCMODE != libc::O_RDWR {
        return Err(CreateError::NotAnEmptyFile);
    }
    // The lock first: whoever else was given the file may be filling it.
    lock_new(&file, path)?;
    if look(&file)?.st_size != 0 {
        return Err(CreateError::NotAnEmptyFile);
    }
    let made = make(&file, new, path);
    if made.is_err() {
        let _ = file.set_len(0);
    }
    made.map(|(memory, warnings)| Made {
        memory,
        path: None,
        undo: Undo::default(),
        warnings,
    })
}

/// A slab in memory of this process alone.
pub(crate) fn into_private_memory(new: &Image) -> Result<Made, CreateError> {
    let memory = Memory::private(new.size());
    fill(&memory, new)?;
    Ok(Made {
        memory,
        path: None,
        undo: Undo::default(),
        warnings: Vec::new(),
    })
}

fn full(path: &Path, new: &Image) -> CreateError {
    CreateError::BusFull {
        path: path.to_owned(),
        needed_bytes: new.plan.file_size,
    }
}

/// Makes a slab of an empty file.
fn make(file: &File, new: &Image, path: &Path) -> Result<(Memory, Vec<Warning>), CreateError> {
    lock_new(file, path)?;
    let length = libc::off_t::try_from(new.plan.file_size).map_err(|_| full(path, new))?;
    loop {
        match posix_fallocate(file, 0, length) {
            Ok(()) => break,
            // A signal came, and nothing was allocated.
            Err(Errno::EINTR) => {}
            Err(Errno::ENOSPC | Errno::EDQUOT | Errno::EFBIG) => return Err(full(path, new)),
            Err(errno) => return Err(system("allocate a slab in", path, errno.into())),
        }
    }
    let memory = Memory::map(file, new.size()).map_err(|source| system("map a slab in", path, source))?;
    fill(&memory, new)?;
    match fchmod(file, Mode::S_IRUSR | Mode::S_IRGRP) {
        // EPERM: a file that we were given may be another user's, who then sees to its mode.
        Ok(()) | Err(Errno::EPERM) => {}
        Err(errno) => return Err(system("set the mode of a slab in", path, errno.into())),
    }
    let is_tmpfs = fstatfs(file).is_ok_and(|stat| stat.filesystem_type() == TMPFS_MAGIC);
    let mut warnings = Vec::new();
    if !is_tmpfs {
        warnings.push(Warning::NotTmpfs(path.to_owned()));
    }
    if new.plan.file_size > READER_SIZE_MAX {
        warnings.push(Warning::Large(path.to_owned(), new.plan.file_size));
    }
    // The mapping keeps the open file, and so the lock, when the descriptor is closed.
    Ok((memory, warnings))
}

fn lock_new(file: &File, path: &Path) -> Result<(), CreateError> {
    lock(file).map_err(|errno| match errno {
        Errno::EAGAIN | Errno::EACCES => CreateError::Locked(path.to_owned()),
        errno => system("lock a slab in", path, errno.into()),
    })
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
