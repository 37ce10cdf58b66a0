//! Survives files that shrink under their mapping, as libwayland's `wl_shm_buffer_begin_access` does.
//!
//! Touching a page past the end of the file raises SIGBUS. The handler looks whether the address is
//! within one of our mappings; if so it marks that mapping as lost, puts anonymous zero pages over
//! all of it and returns, and the load that failed goes on and finds a zero. Any other SIGBUS goes
//! to the handler that was there before, or kills the process as it would have without us.
//!
//! The handler does only what is safe in a signal handler: atomic loads and stores, and system
//! calls. Its table has a fixed size and no lock, and each entry is a single word, so that it can never be
//! seen half written.
#![allow(unsafe_code)]

use nix::errno::Errno;
use nix::libc;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering};

/// Mappings that can be watched at a time: as many as the kernel lets a process have (`vm.max_map_count`).
pub(crate) const MAPPINGS_MAX: usize = 65_536;

/// Start and length of each mapping in one word, see [`pack`]; 0 is a free entry.
static RANGES: [AtomicU64; MAPPINGS_MAX] = [const { AtomicU64::new(0) }; MAPPINGS_MAX];
/// Which of them had a fault.
static LOST: [AtomicBool; MAPPINGS_MAX] = [const { AtomicBool::new(false) }; MAPPINGS_MAX];
/// No entry from here on was ever used.
static USED: AtomicUsize = AtomicUsize::new(0);
/// Where to look for a free entry first.
static HINT: AtomicUsize = AtomicUsize::new(0);

static INSTALL: Once = Once::new();
static INSTALLED: AtomicBool = AtomicBool::new(false);
static PREVIOUS_HANDLER: AtomicUsize = AtomicUsize::new(libc::SIG_DFL);
static PREVIOUS_FLAGS: AtomicI32 = AtomicI32::new(0);

const PAGE_BITS: u32 = 12;
const LENGTH_BITS: u32 = 28;

/// Start (35 bits of page number) and length (28 bits of pages), if they fit.
fn pack(start: usize, len: usize) -> Option<u64> {
    let (page, pages) = ((start >> PAGE_BITS) as u64, len.div_ceil(1 << PAGE_BITS) as u64);
    let fits = page < 1 << (64 - LENGTH_BITS) && pages < 1 << LENGTH_BITS && pages > 0;
    (fits && start.is_multiple_of(1 << PAGE_BITS)).then_some(page << LENGTH_BITS | pages)
}

/// Start and length in bytes.
fn unpack(range: u64) -> (usize, usize) {
    let pages = range & ((1 << LENGTH_BITS) - 1);
    (
        ((range >> LENGTH_BITS) << PAGE_BITS) as usize,
        (pages << PAGE_BITS) as usize,
    )
}

/// A mapping under watch; dropping it ends the watch.
#[derive(Debug)]
pub(crate) struct Watch {
    index: usize,
}

impl Watch {
    /// Watches the `len` bytes from `start`. `None` if the table is full.
    ///
    /// # Safety
    /// The bytes are a page-aligned mapping of the caller's own, which it does not touch before this
    /// returns and does not unmap before the watch is dropped, and whose pages may become zero
    /// pages at any moment.
    pub(crate) unsafe fn new(start: usize, len: usize) -> Option<Self> {
        INSTALL.call_once(install);
        let range = pack(start, len).filter(|_| INSTALLED.load(Ordering::Acquire))?;
        let hint = HINT.load(Ordering::Relaxed);
        let index = (0..MAPPINGS_MAX)
            .map(|i| (hint + i) % MAPPINGS_MAX)
            .find(|&index| {
                RANGES[index]
                    .compare_exchange(0, range, Ordering::AcqRel, Ordering::Relaxed)
                    .is_ok()
            })?;
        LOST[index].store(false, Ordering::SeqCst);
        USED.fetch_max(index + 1, Ordering::SeqCst);
        HINT.store((index + 1) % MAPPINGS_MAX, Ordering::Relaxed);
        Some(Self { index })
    }

    /// Whether zero pages have replaced the mapping.
    pub(crate) fn is_lost(&self) -> bool {
        LOST[self.index].load(Ordering::SeqCst)
    }

    /// Gives the mapping up for another reason than a fault.
    pub(crate) fn mark_lost(&self) {
        LOST[self.index].store(true, Ordering::SeqCst);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        RANGES[self.index].store(0, Ordering::Release);
        HINT.store(self.index, Ordering::Relaxed);
    }
}

fn install() {
    let mut previous = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: asks for the present action only; `previous` has room for it.
    let asked = unsafe { libc::sigaction(libc::SIGBUS, ptr::null(), previous.as_mut_ptr()) };
    // SAFETY: all zeros is a valid `sigaction`, and the call can only have replaced it by another.
    let previous = unsafe { previous.assume_init() };
    // Before the handler is in place, which may need them at once.
    PREVIOUS_HANDLER.store(previous.sa_sigaction, Ordering::SeqCst);
    PREVIOUS_FLAGS.store(previous.sa_flags, Ordering::SeqCst);
    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = on_sigbus;
    // On the alternative stack if the thread has one, like the handler of Rust's own runtime.
    let installed = asked == 0 && set_action(handler as usize, libc::SA_SIGINFO | libc::SA_ONSTACK);
    INSTALLED.store(installed, Ordering::Release);
}

/// Sets what SIGBUS does. Safe in a signal handler.
fn set_action(handler: usize, flags: libc::c_int) -> bool {
    // SAFETY: all zeros is a valid `sigaction`: no flags, an empty mask, the default action.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    // SAFETY: `action` is valid, and its handler is the default or `on_sigbus`, which has the signature
    // that SA_SIGINFO asks for and is async-signal-safe.
    unsafe { libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut()) == 0 }
}

extern "C" fn on_sigbus(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let errno = Errno::last_raw();
    // SAFETY: the kernel passes a valid siginfo to a handler with SA_SIGINFO, alive until it returns.
    let fault = unsafe { &*info };
    // SAFETY: the address is set for a SIGBUS that a fault raised; of any other it is not used.
    let address = unsafe { fault.si_addr() } as usize;
    // Signals that were sent, by kill() for example, have a code of 0 or less.
    let is_fault = fault.si_code > 0;
    if !(is_fault && replace(address)) {
        chain(signal, info, context, is_fault);
    }
    Errno::set_raw(errno);
}

/// Puts zero pages over the mapping that `address` lies in, if it is one of ours.
fn replace(address: usize) -> bool {
    let used = USED.load(Ordering::SeqCst);
    for (range, lost) in RANGES.iter().zip(&LOST).take(used) {
        let (start, len) = unpack(range.load(Ordering::Acquire));
        if address.wrapping_sub(start) >= len {
            continue;
        }
        // First, so that whoever sees a zero page afterwards also sees this.
        lost.store(true, Ordering::SeqCst);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE;
        // SAFETY: the range is a mapping whose owner agreed to this (`Watch::new`). It is still
        // mapped: this thread was just touching it, so its owner cannot be dropping it, and no other
        // entry ever covered this address while the fault was handled.
        let mapped = unsafe { libc::mmap(start as *mut _, len, libc::PROT_READ, flags, -1, 0) };
        return mapped != libc::MAP_FAILED;
    }
    false
}

/// Hands a SIGBUS that is none of ours to whoever had them before.
fn chain(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void, is_fault: bool) {
    let handler = PREVIOUS_HANDLER.load(Ordering::SeqCst);
    let with_info = PREVIOUS_FLAGS.load(Ordering::SeqCst) & libc::SA_SIGINFO != 0;
    match handler {
        libc::SIG_IGN if !is_fault => {}
        libc::SIG_DFL | libc::SIG_IGN => {
            // A fault happens again on return, and then kills; a signal that was sent has to be sent again.
            set_action(libc::SIG_DFL, 0);
            if !is_fault {
                // SAFETY: async-signal-safe; it stays pending until this handler returns.
                unsafe { libc::raise(signal) };
            }
        }
        _ if with_info => {
            type Handler = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);
            // SAFETY: the address was installed as a handler of this signature (SA_SIGINFO).
            let handler = unsafe { std::mem::transmute::<usize, Handler>(handler) };
            handler(signal, info, context);
        }
        _ => {
            // SAFETY: the address was installed as a handler of this signature (no SA_SIGINFO).
            let handler = unsafe { std::mem::transmute::<usize, extern "C" fn(libc::c_int)>(handler) };
            handler(signal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_fits_one_word_and_comes_back() {
        for (start, len) in [
            (1 << 12, 1),
            (0x7fff_ffff_f000, 16 << 20),
            (0x5555_0000_0000, (1 << 40) - 4096),
        ] {
            let (from, bytes) = unpack(pack(start, len).unwrap());
            assert_eq!((from, bytes), (start, len.next_multiple_of(4096)));
        }
        for (start, len) in [(1, 4096), (1 << 12, 0), (1 << 12, 1 << 40), (1 << 60, 4096)] {
            assert_eq!(pack(start, len), None, "{start:#x} {len:#x}");
        }
        assert_eq!(unpack(0), (0, 0), "a free entry covers no address");
    }
}
