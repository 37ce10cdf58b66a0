//! Why a vCPU came back from the kernel.

use kvm_ioctls::VcpuExit;

/// The reasons that are told apart, in the kernel's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitReason {
    /// A read from a port.
    IoIn,
    /// A write to a port.
    IoOut,
    /// A read from memory that is not RAM.
    MmioRead,
    /// A write to memory that is not RAM.
    MmioWrite,
    /// A halt that the kernel does not handle.
    Hlt,
    /// A triple fault.
    Shutdown,
    /// A signal to the thread.
    Intr,
    /// KVM or the processor cannot go on.
    Failure,
    /// Any other.
    Other,
}

impl ExitReason {
    /// How many there are.
    pub const COUNT: usize = 9;

    /// All of them, in order.
    pub const ALL: [Self; Self::COUNT] = [
        Self::IoIn,
        Self::IoOut,
        Self::MmioRead,
        Self::MmioWrite,
        Self::Hlt,
        Self::Shutdown,
        Self::Intr,
        Self::Failure,
        Self::Other,
    ];

    /// The value of the label `reason`.
    pub fn name(self) -> &'static str {
        match self {
            Self::IoIn => "io_in",
            Self::IoOut => "io_out",
            Self::MmioRead => "mmio_read",
            Self::MmioWrite => "mmio_write",
            Self::Hlt => "hlt",
            Self::Shutdown => "shutdown",
            Self::Intr => "intr",
            Self::Failure => "failure",
            Self::Other => "other",
        }
    }

    /// The reason of what KVM_RUN returned.
    #[inline]
    pub fn of(exit: &Result<VcpuExit<'_>, kvm_ioctls::Error>) -> Self {
        match exit {
            Ok(VcpuExit::IoIn(..)) => Self::IoIn,
            Ok(VcpuExit::IoOut(..)) => Self::IoOut,
            Ok(VcpuExit::MmioRead(..)) => Self::MmioRead,
            Ok(VcpuExit::MmioWrite(..)) => Self::MmioWrite,
            Ok(VcpuExit::Hlt) => Self::Hlt,
            Ok(VcpuExit::Shutdown) => Self::Shutdown,
            Ok(VcpuExit::Intr) => Self::Intr,
            Ok(VcpuExit::FailEntry(..) | VcpuExit::InternalError) => Self::Failure,
            Ok(_) => Self::Other,
            Err(error) if is_interruption(*error) => Self::Intr,
            Err(_) => Self::Failure,
        }
    }
}

/// Whether KVM_RUN shall just be called again.
pub(crate) fn is_interruption(error: kvm_ioctls::Error) -> bool {
    matches!(error.errno(), nix::libc::EINTR | nix::libc::EAGAIN)
}
