//! What can go wrong before the guest runs, and what to do about it.

use std::io;
use std::path::PathBuf;

/// Why a machine could not be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no KVM.
    #[error(
        "there is no /dev/kvm; load the module (`modprobe kvm_intel` or `kvm_amd`), or switch on (nested) virtualisation"
    )]
    NoKvm,
    /// KVM is somebody else's.
    #[error("/dev/kvm may not be opened; join its group (`usermod -aG kvm $USER`, then log in again)")]
    KvmForbidden,
    /// A KVM from before 2007, or something else at that path.
    #[error("/dev/kvm speaks version {0} of its interface, not 12; it is not a Linux KVM")]
    KvmVersion(i32),
    /// KVM lacks something.
    #[error("this kernel's KVM has no {0}; use a newer kernel")]
    KvmLacks(&'static str),
    /// KVM refused.
    #[error("KVM cannot {action}")]
    Kvm {
        /// What was tried.
        action: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Not enough memory for the guest.
    #[error("{given_mib} MiB of memory is too little for {guest}; give at least {needed_mib} with --memory")]
    MemoryTooSmall {
        /// What --memory said.
        given_mib: u64,
        /// What is needed.
        needed_mib: u64,
        /// By which guest.
        guest: &'static str,
    },
    /// More than there is.
    #[error("cannot reserve {0} MiB of memory for the guest; give less with --memory")]
    MemoryTooLarge(u64),
    /// No vCPU, or more than KVM takes.
    #[error("{given} vCPUs; give 1 to {max} with --cpus")]
    Cpus {
        /// What --cpus said.
        given: u32,
        /// What KVM takes.
        max: u32,
    },
    /// A file cannot be a disk.
    #[error(transparent)]
    Disk(#[from] crate::devices::block::DiskError),
    /// More than there are interrupt lines for.
    #[error("{given} disks; a machine has up to {max}: give fewer with --disk")]
    Disks {
        /// How many --disk there were.
        given: usize,
        /// How many there can be.
        max: u32,
    },
    /// Our own mistake.
    #[error("the toy guest does not assemble")]
    Assembler,
    /// A device would hide another.
    #[error("the device at {0:#x} overlaps another, or lies outside of the gap for devices")]
    DeviceOverlap(u64),
    /// A file of the person's choice cannot be read.
    #[error("cannot read {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Nothing can be written there.
    #[error("cannot write events to {path}; name a file, or a pipe that is being read, with --events")]
    Events {
        /// Where to.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Some other file.
    #[error(
        "{0} is not a Linux kernel; give a bzImage (on Debian, /boot/vmlinuz-…) or a vmlinux with --kernel"
    )]
    NotAKernel(PathBuf),
    /// A kernel for other processors.
    #[error("{0} is a kernel without a 64-bit entry point; give one for x86-64 with --kernel")]
    Kernel32(PathBuf),
    /// Longer than the kernel takes, or with characters that it does not take.
    #[error("the kernel takes a command line of one line and up to {0} bytes; shorten --cmdline")]
    CommandLine(u32),
    /// The tables that describe them do not fit.
    #[error("the description of the machine is too large; give it fewer devices")]
    TooManyDevices,
    /// It does not fit, or lies outside of memory.
    #[error("cannot write {what} to guest memory")]
    GuestMemory {
        /// Which data.
        what: &'static str,
        /// Why.
        source: vm_memory::GuestMemoryError,
    },
    /// The process could not set something up.
    #[error("cannot {action}")]
    System {
        /// What was tried.
        action: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Something is wrong with a filter: our own mistake, or a kernel without seccomp.
    #[error("cannot install the seccomp filter of the {thread} thread; --no-seccomp runs without: {reason}")]
    Seccomp {
        /// Whose.
        thread: &'static str,
        /// Why.
        reason: String,
    },
    /// A series was refused: our own mistake.
    #[error("cannot register the metrics")]
    Register(#[from] rondo_writer::RegisterError),
    /// An instance name that the bus does not take, or another reason why there can be no slab at all.
    #[error("cannot set up the metrics; see --instance and --bus")]
    Metrics(#[from] rondo_writer::CreateError),
}

impl Error {
    /// For `map_err` after a call of KVM.
    pub(crate) fn kvm<E: Into<io::Error>>(action: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Kvm {
            action,
            source: source.into(),
        }
    }

    /// For `map_err` after any other system call.
    pub(crate) fn system<E: Into<io::Error>>(action: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::System {
            action,
            source: source.into(),
        }
    }

    /// For `map_err` after a write to guest memory.
    pub(crate) fn guest_memory(what: &'static str) -> impl FnOnce(vm_memory::GuestMemoryError) -> Self {
        move |source| Self::GuestMemory { what, source }
    }
}
