//! A disk's thread: waits for the doorbell, and serves what is in the queue.
//!
//! What concerns rondo stands between `rondo: begin` and `rondo: end`; `tests/lines.rs` counts it.

use super::disk::Disk;
use super::execute::BUFFER_SIZE;
use super::request::Request;
use crate::devices::virtio::{Broken, Link};
use crate::ending::EndRequest;
use crate::metrics::BlockMetrics;
use std::num::Wrapping;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use virtio_queue::{Queue, QueueOwnedT, QueueT};
use vm_memory::GuestMemoryMmap;

/// A disk, and what it takes to serve it.
pub struct BlockServer {
    /// What is served.
    pub disk: Disk,
    /// Where the guest's requests come from.
    pub link: Arc<Link>,
    /// Where their data are.
    pub memory: GuestMemoryMmap,
    /// How it learns that it is over.
    pub end: Arc<EndRequest>,
    /// What it records.
    pub metrics: BlockMetrics,
    buffer: Box<[u8; BUFFER_SIZE]>,
}

impl BlockServer {
    /// A server that does nothing yet.
    pub fn new(
        disk: Disk,
        link: Arc<Link>,
        memory: GuestMemoryMmap,
        end: Arc<EndRequest>,
        metrics: BlockMetrics,
    ) -> Self {
        Self {
            disk,
            link,
            memory,
            end,
            metrics,
            buffer: Box::new([0; BUFFER_SIZE]),
        }
    }

    /// Serves until the end, which a ring of the doorbell makes it notice.
    pub fn run(mut self) {
        while self.end.ending().is_none() {
            // Blocks. An interruption is as good as a ring: the queue says what there is to do.
            let _ = self.link.doorbell().read();
            self.serve();
        }
    }

    /// Serves all that is in the queue.
    pub(super) fn serve(&mut self) {
        let link = self.link.clone();
        link.serve(|queue| self.serve_one(queue));
    }

    /// Serves one request; `false` when there is none.
    ///
    /// # Errors
    /// The queue is broken.
    pub fn serve_one(&mut self, queue: &mut Queue) -> Result<bool, Broken> {
        let waiting = queue.avail_idx(&self.memory, Ordering::Acquire)? - Wrapping(queue.next_avail());
        if waiting.0 == 0 || self.end.ending().is_some() {
            // The guest rings for the next one; unless it came just now.
            return Ok(queue.enable_notification(&self.memory)? && self.end.ending().is_none());
        }
        queue.disable_notification(&self.memory)?;
        // rondo: begin
        let started = Instant::now();
        // rondo: end
        let Some(chain) = queue.iter(&self.memory)?.next() else {
            return Err(Broken("a request that cannot be read".into()));
        };
        let head = chain.head_index();
        let request = Request::parse(&self.memory, chain)?;
        let is_over = || self.end.ending().is_some() || self.link.is_wanted_back();
        let outcome = self.disk.execute(request, &mut self.buffer, is_over);
        // rondo: begin
        self.metrics.record(&outcome, started, waiting.0);
        // rondo: end
        queue.add_used(&self.memory, head, outcome.used)?;
        self.link.complete(queue, &self.memory)?;
        Ok(true)
    }
}
