//! What a device's transport and its thread share.
//!
//! The queue is behind a lock that the thread takes for one request at a time. A reset takes the queue away, so it waits for
//! at most one piece of one request, or one flush of the file; when the guest sees that the reset is done, nothing of the
//! device touches its memory any more.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};
use std::sync::{Mutex, MutexGuard, PoisonError};
use virtio_bindings::bindings::virtio_mmio::{VIRTIO_MMIO_INT_CONFIG, VIRTIO_MMIO_INT_VRING};
use virtio_bindings::bindings::virtio_ring::VRING_AVAIL_F_NO_INTERRUPT;
use virtio_queue::{Queue, QueueT};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

/// The guest broke the rules of the queue in a way that leaves no place to tell it.
#[derive(Debug, thiserror::Error)]
#[error("the guest's queue is broken: {0}")]
pub struct Broken(pub String);

impl From<virtio_queue::Error> for Broken {
    fn from(error: virtio_queue::Error) -> Self {
        Self(error.to_string())
    }
}

/// A device's queue and events.
#[derive(Debug)]
pub struct Link {
    /// `None` unless the guest has started the device, and it works.
    queue: Mutex<Option<Queue>>,
    /// Somebody waits for the lock to take the queue away.
    is_wanted_back: AtomicBool,
    /// The device has stopped and waits for a reset.
    is_broken: AtomicBool,
    /// Reasons for interrupts that the guest has not acknowledged.
    reasons: AtomicU32,
    interrupt: EventFd,
    /// Blocks whoever reads it until there is work.
    doorbell: EventFd,
}

impl Link {
    /// # Errors
    /// No descriptor is left.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            queue: Mutex::new(None),
            is_wanted_back: AtomicBool::new(false),
            is_broken: AtomicBool::new(false),
            reasons: AtomicU32::new(0),
            interrupt: EventFd::new(EFD_NONBLOCK)?,
            doorbell: EventFd::new(0)?,
        })
    }

    /// For KVM's irqfd.
    pub fn interrupt(&self) -> &EventFd {
        &self.interrupt
    }

    /// For KVM's ioeventfd; wakes the device's thread.
    pub fn doorbell(&self) -> &EventFd {
        &self.doorbell
    }

    /// Wakes the device's thread. It looks for itself what there is to do.
    pub fn ring(&self) {
        // The counter is full after 2^64 rings that nobody answered: it is readable anyway.
        let _ = self.doorbell.write(1);
    }

    /// The guest started the device.
    pub(super) fn activate(&self, queue: Queue) {
        *self.lock() = Some(queue);
        // It may have put something into the queue before.
        self.ring();
    }

    /// Takes the queue away, and waits for the request in it that is being handled.
    pub(super) fn deactivate(&self) {
        self.is_wanted_back.store(true, Ordering::Release);
        let mut guard = self.lock();
        *guard = None;
        self.is_wanted_back.store(false, Ordering::Release);
    }

    /// As after power-on.
    pub(super) fn reset(&self) {
        self.deactivate();
        self.is_broken.store(false, Ordering::Release);
        self.reasons.store(0, Ordering::Release);
    }

    /// Stops the device until the guest resets it, and tells the guest.
    pub(super) fn fail(&self) {
        self.deactivate();
        self.break_off();
    }

    /// Whether a vCPU waits for the request that is being handled, which nobody else waits for any more.
    pub fn is_wanted_back(&self) -> bool {
        self.is_wanted_back.load(Ordering::Acquire)
    }

    /// Whether the device waits for a reset.
    pub fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Acquire)
    }

    pub(super) fn reasons(&self) -> u32 {
        self.reasons.load(Ordering::Acquire)
    }

    pub(super) fn acknowledge(&self, reasons: u32) {
        self.reasons.fetch_and(!reasons, Ordering::AcqRel);
    }

    /// Calls `serve` with the queue, for one request, until it says that there is no more. A queue that turns
    /// out to be broken stops the device.
    pub fn serve(&self, mut serve: impl FnMut(&mut Queue) -> Result<bool, Broken>) {
        while !self.is_wanted_back() {
            let mut guard = self.lock();
            let Some(queue) = guard.as_mut() else { return };
            match serve(queue) {
                Ok(true) => {}
                Ok(false) => return,
                Err(_) => {
                    // Before the lock is free: a reset that waits for it must find this done.
                    *guard = None;
                    self.break_off();
                    return;
                }
            }
        }
    }

    /// Says to the guest that there are completed requests in the queue, if it wants to know.
    ///
    /// # Errors
    /// The queue is broken.
    pub fn complete(&self, queue: &mut Queue, memory: &GuestMemoryMmap) -> Result<(), Broken> {
        if wants_interrupt(queue, memory)? {
            self.signal(VIRTIO_MMIO_INT_VRING);
        }
        Ok(())
    }

    fn break_off(&self) {
        self.is_broken.store(true, Ordering::Release);
        self.signal(VIRTIO_MMIO_INT_CONFIG);
    }

    fn signal(&self, reason: u32) {
        self.reasons.fetch_or(reason, Ordering::AcqRel);
        // As with the doorbell.
        let _ = self.interrupt.write(1);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Queue>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// By the event's index where that was negotiated, otherwise by a flag, which `virtio-queue` leaves to us.
fn wants_interrupt(queue: &mut Queue, memory: &GuestMemoryMmap) -> Result<bool, Broken> {
    if queue.event_idx_enabled() {
        return Ok(queue.needs_notification(memory)?);
    }
    // Completions come before the flag is read: pairs with the guest, which sets it and then looks for them.
    fence(Ordering::SeqCst);
    let flags: u16 = memory
        .load(GuestAddress(queue.avail_ring()), Ordering::Relaxed)
        .map_err(|error| Broken(error.to_string()))?;
    Ok(u32::from(u16::from_le(flags)) & VRING_AVAIL_F_NO_INTERRUPT == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, mpsc};
    use std::time::Duration;

    fn active() -> Arc<Link> {
        let link = Arc::new(Link::new().unwrap());
        link.activate(Queue::new(8).unwrap());
        link
    }

    /// A guest that reuses its memory after a reset would find a late answer in it.
    #[test]
    fn a_reset_waits_for_the_request_that_is_being_handled() {
        let link = active();
        let (begun, has_begun) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let (reset, is_reset) = mpsc::channel();
        let (serving, resetting) = (link.clone(), link.clone());
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut requests = 0;
                serving.serve(|_| {
                    requests += 1;
                    begun.send(()).unwrap();
                    let _ = released.recv();
                    Ok(true)
                });
                assert_eq!(requests, 1, "goes on after the reset");
            });
            has_begun.recv().unwrap();
            scope.spawn(move || {
                resetting.reset();
                reset.send(()).unwrap();
            });
            assert!(
                is_reset.recv_timeout(Duration::from_millis(100)).is_err(),
                "done already"
            );
            drop(release);
            is_reset.recv().unwrap();
        });
        assert!(link.lock().is_none());
    }

    #[test]
    fn a_broken_queue_is_taken_away_and_the_guest_is_told() {
        let link = active();
        link.serve(|_| Err(Broken("for a test".into())));
        assert!(link.is_broken());
        assert_eq!(link.reasons(), VIRTIO_MMIO_INT_CONFIG);
        assert_eq!(link.interrupt().read().unwrap(), 1);
        link.serve(|_| panic!("still there"));
        link.reset();
        assert!(!link.is_broken());
    }

    /// Without the index of the event a flag says it: a driver that polls wants no interrupt.
    #[test]
    fn a_guest_that_wants_no_interrupts_gets_none() {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x1000)]).unwrap();
        let link = active();
        let mut queue = Queue::new(8).unwrap();
        queue.try_set_avail_ring_address(GuestAddress(0x100)).unwrap();
        queue.try_set_used_ring_address(GuestAddress(0x200)).unwrap();
        for (flags, has_event_index, wants) in [(0, false, true), (1, false, false), (1, true, true)] {
            memory.write_obj::<u16>(flags, GuestAddress(0x100)).unwrap();
            queue.set_event_idx(has_event_index);
            // The index says: after the next one that is completed.
            memory
                .write_obj::<u16>(queue.next_used(), GuestAddress(0x100 + 4 + 16))
                .unwrap();
            queue.add_used(&memory, 0, 0).unwrap();
            link.complete(&mut queue, &memory).unwrap();
            assert_eq!(
                link.interrupt().read().is_ok(),
                wants,
                "{flags} {has_event_index}"
            );
        }
        // And now it does not: the index is far off.
        memory
            .write_obj::<u16>(100, GuestAddress(0x100 + 4 + 16))
            .unwrap();
        queue.add_used(&memory, 0, 0).unwrap();
        link.complete(&mut queue, &memory).unwrap();
        assert!(link.interrupt().read().is_err());
    }
}
