//! Which system calls each thread may still make when the guest runs; any other kills the VMM.
//!
//! A guest that breaks out of its vCPU finds a process that can open no file, start no program and map no
//! code. Recording needs none of these calls: it is stores into memory that is mapped already.

use crate::error::Error;
use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

/// `KVM_RUN`: enter the guest.
const KVM_RUN: u64 = 0xae80;

/// A call, and what its arguments have to be.
enum Allow {
    Any(i64),
    /// The argument of that index is this value.
    Equal(i64, u8, u64),
    /// The argument of that index has none of these bits.
    Without(i64, u8, u64),
}

use Allow::{Any, Equal, Without};

/// What any thread needs to allocate, to wait for another, to take a signal and to end.
fn common() -> Vec<Allow> {
    let executable = libc::PROT_EXEC.cast_unsigned().into();
    vec![
        Any(libc::SYS_brk),
        Any(libc::SYS_clock_gettime), // where the vDSO has no clock to read
        Any(libc::SYS_close),
        Any(libc::SYS_exit),
        // Without optimisation, the standard library makes sure of what it closes.
        Equal(libc::SYS_fcntl, 1, libc::F_GETFD as u64),
        Any(libc::SYS_futex),
        Any(libc::SYS_gettid), // the message of a panic says whose it is
        Any(libc::SYS_madvise),
        Without(libc::SYS_mmap, 2, executable),
        Without(libc::SYS_mprotect, 2, executable),
        Any(libc::SYS_munmap),
        Any(libc::SYS_poll), // a message waits for whoever reads it
        Any(libc::SYS_restart_syscall),
        Any(libc::SYS_rt_sigprocmask),
        Any(libc::SYS_rt_sigreturn),
        Any(libc::SYS_sched_yield),
        Any(libc::SYS_sigaltstack),
        Any(libc::SYS_write),
    ]
}

/// Filter of a vCPU's thread: enters the guest, writes to the console and to events.
///
/// # Errors
/// [`Error::Seccomp`]: a mistake of ours.
pub fn vcpu() -> Result<BpfProgram, Error> {
    let mut allowed = common();
    allowed.push(Equal(libc::SYS_ioctl, 1, KVM_RUN));
    compile("vCPU", allowed)
}

/// Filter of a disk's thread: waits for its doorbell, reads, writes and flushes the file that it has.
///
/// # Errors
/// [`Error::Seccomp`]: a mistake of ours.
pub fn device() -> Result<BpfProgram, Error> {
    let mut allowed = common();
    allowed.extend([
        Any(libc::SYS_fdatasync),
        Any(libc::SYS_pread64),
        Any(libc::SYS_pwrite64),
        Any(libc::SYS_read),
    ]);
    compile("device", allowed)
}

/// Filter of the event loop's thread: waits, reads what is open, sets timers, stops vCPU threads, and puts the
/// terminal back.
///
/// # Errors
/// [`Error::Seccomp`]: a mistake of ours.
pub fn event_loop() -> Result<BpfProgram, Error> {
    let mut allowed = common();
    let own_process = u64::from(std::process::id());
    allowed.extend([
        Any(libc::SYS_clock_nanosleep),
        Any(libc::SYS_epoll_ctl),
        Any(libc::SYS_epoll_pwait),
        Any(libc::SYS_epoll_wait),
        Any(libc::SYS_exit_group),
        Any(libc::SYS_getdents64),
        Any(libc::SYS_getpid),
        Equal(libc::SYS_ioctl, 1, libc::TCSETS),
        Equal(libc::SYS_ioctl, 1, libc::TCGETS),
        Equal(libc::SYS_ioctl, 1, libc::TIOCGPGRP),
        Any(libc::SYS_getpgrp),
        Any(libc::SYS_lseek),
        Any(libc::SYS_nanosleep),
        Any(libc::SYS_pread64),
        Any(libc::SYS_read),
        Equal(libc::SYS_tgkill, 0, own_process),
        Any(libc::SYS_timerfd_settime),
    ]);
    compile("event loop", allowed)
}

/// Puts a filter on the calling thread, for ever, and on the threads that it starts.
///
/// # Errors
/// [`Error::Seccomp`]: the kernel has no seccomp.
pub fn apply(thread: &'static str, filter: &BpfProgram) -> Result<(), Error> {
    seccompiler::apply_filter(filter).map_err(|error| Error::Seccomp {
        thread,
        reason: error.to_string(),
    })
}

fn compile(thread: &'static str, allowed: Vec<Allow>) -> Result<BpfProgram, Error> {
    let failed = |error: seccompiler::BackendError| Error::Seccomp {
        thread,
        reason: error.to_string(),
    };
    let mut rules = std::collections::BTreeMap::<i64, Vec<SeccompRule>>::new();
    for allow in allowed {
        let (call, condition) = match allow {
            Any(call) => (call, None),
            Equal(call, argument, value) => (call, Some((argument, SeccompCmpOp::Eq, value))),
            Without(call, argument, bits) => (call, Some((argument, SeccompCmpOp::MaskedEq(bits), 0))),
        };
        // No rule for a call means that it is allowed whatever its arguments are.
        let of_call = rules.entry(call).or_default();
        if let Some((argument, operator, value)) = condition {
            let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value);
            let rule = SeccompRule::new(vec![condition.map_err(failed)?]);
            of_call.push(rule.map_err(failed)?);
        }
    }
    SeccompFilter::new(
        rules,
        SeccompAction::KillProcess,
        SeccompAction::Allow,
        TargetArch::x86_64,
    )
    .and_then(BpfProgram::try_from)
    .map_err(failed)
}
