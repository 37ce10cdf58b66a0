//! What a disk's thread records, from the thread itself.

use super::Milestones;
use crate::devices::block::{Op, Outcome};
use rondo_writer::{Clock, Counter, Distribution, Histogram, RegisterError, Unit, Writer};
use std::sync::Arc;
use std::time::Instant;

/// Counters, and distributions and histograms, of one disk.
pub(super) const SERIES: (u32, u32) = (Op::COUNT as u32 + 3, Op::COUNT as u32 + 1);

/// The handles of one disk.
pub struct BlockMetrics {
    requests: [Counter; Op::COUNT],
    durations: [Histogram; Op::COUNT],
    errors: Counter,
    /// Read, written.
    bytes: [Counter; 2],
    queue_depth: Distribution,
    clock: Clock,
    milestones: Arc<Milestones>,
}

impl BlockMetrics {
    pub(super) fn register(
        writer: &mut Writer,
        device: &str,
        milestones: Arc<Milestones>,
    ) -> Result<Self, RegisterError> {
        let (mut requests, mut durations) = (Vec::new(), Vec::new());
        for op in Op::ALL {
            let counter = writer
                .counter("blk_requests_total")
                .help("Requests to the disk that were completed, with or without an error.")
                .label("device", device)
                .label("op", op.name());
            requests.push(counter.owned()?);
            let histogram = writer
                .histogram("blk_request_duration_ns")
                .unit(Unit::Nanoseconds)
                .help("Time from taking a request out of the queue to its completion.")
                .label("device", device)
                .label("op", op.name());
            durations.push(histogram.owned()?);
        }
        let errors = writer
            .counter("blk_errors_total")
            .help("Requests that were answered with an error.")
            .label("device", device)
            .owned()?;
        let mut bytes = |direction: &str| {
            writer
                .counter("blk_bytes_total")
                .unit(Unit::Bytes)
                .help("Data of completed requests.")
                .label("device", device)
                .label("direction", direction)
                .owned()
        };
        let bytes = [bytes("read")?, bytes("write")?];
        let queue_depth = writer
            .distribution("blk_queue_depth")
            .help("Requests that waited when one was taken out of the queue, that one included.")
            .label("device", device)
            .owned()?;
        let (Ok(requests), Ok(durations)) = (requests.try_into(), durations.try_into()) else {
            return Err(RegisterError::Name(String::new())); // as many as there are operations
        };
        Ok(Self {
            requests,
            durations,
            errors,
            bytes,
            queue_depth,
            clock: writer.clock(),
            milestones,
        })
    }

    // rondo: begin

    /// A request is completed that was taken out of the queue at `started`, when `waiting` of them were in it.
    pub fn record(&mut self, outcome: &Outcome, started: Instant, waiting: u16) {
        let (now_ns, op) = (self.clock.now(), outcome.op as usize);
        self.requests[op].add_at(now_ns, 1);
        self.durations[op].record_at(now_ns, started.elapsed().as_nanos() as f64);
        self.errors.add_at(now_ns, u64::from(outcome.is_error()));
        self.bytes[usize::from(outcome.op == Op::Write)].add_at(now_ns, outcome.bytes);
        self.queue_depth.record_at(now_ns, f64::from(waiting));
        self.milestones.first_block_request.reach();
    }

    // rondo: end
}
