//! Handles in threads of their own, while the writer's thread ticks.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use common::{Copy, SECOND, START, bus, path, simulated};
use rondo_writer::{Clock, Counter, Distribution, Gauge, Histogram, SharedCounter, SharedGauge, Writer};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What may go where is decided by the compiler.
#[test]
fn handles_may_move_and_shared_ones_may_be_shared() {
    fn is_send<T: Send>() {}
    fn is_sync<T: Send + Sync>() {}
    is_send::<Writer>();
    is_send::<Gauge>();
    is_send::<Counter>();
    is_send::<Distribution>();
    is_send::<Histogram>();
    is_sync::<Clock>();
    is_sync::<SharedCounter>();
    is_sync::<SharedGauge>();
}

/// No add is lost, whichever tick it falls between; and a total that readers see never falls.
#[test]
fn no_add_to_a_shared_counter_is_lost() {
    const ADDS: u64 = 50_000;
    let bus = bus();
    let mut writer = simulated(bus.path()).create().unwrap();
    let counter = writer.counter("counter").shared().unwrap();
    let gauge = writer.gauge("gauge").shared().unwrap();
    let running = AtomicU64::new(4);
    let mut now = START;
    std::thread::scope(|scope| {
        for thread in 0..4u32 {
            let (counter, gauge, running) = (counter.clone(), &gauge, &running);
            scope.spawn(move || {
                for _ in 0..ADDS {
                    counter.add(1);
                    gauge.set(f64::from(thread));
                }
                running.fetch_sub(1, Ordering::Release);
            });
        }
        let mut last = 0;
        while running.load(Ordering::Acquire) > 0 {
            now += SECOND / 3;
            writer.tick_at(now);
            let total = Copy::of(path(&writer)).newest("counter");
            assert!(total >= last, "{total} after {last}");
            last = total;
        }
    });
    writer.tick_at(now + SECOND);
    let slab = Copy::of(path(&writer));
    assert_eq!(slab.newest("counter"), 4 * ADDS);
    assert!((0.0..4.0).contains(&f64::from_bits(slab.newest("gauge"))));
}

/// The usual machine: each vCPU thread has its handles, and the one with the writer ticks.
#[test]
fn owned_handles_record_in_threads_of_their_own() {
    const SAMPLES: u64 = 20_000;
    let bus = bus();
    let mut writer = simulated(bus.path()).create().unwrap();
    let is_over = AtomicBool::new(false);
    let mut now = START;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3)
            .map(|vcpu| {
                let label = vcpu.to_string();
                let mut gauge = writer.gauge("gauge").label("vcpu", &label).owned().unwrap();
                let mut counter = writer.counter("counter").label("vcpu", &label).owned().unwrap();
                let mut histogram = writer.histogram(&format!("histogram_{vcpu}")).owned().unwrap();
                scope.spawn(move || {
                    for sample in 0..SAMPLES {
                        gauge.set(sample as f64);
                        counter.add(1);
                        histogram.record(1.0);
                    }
                })
            })
            .collect();
        let is_over = &is_over;
        scope.spawn(move || {
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            is_over.store(true, Ordering::Release);
        });
        while !is_over.load(Ordering::Acquire) {
            now += SECOND / 2;
            writer.tick_at(now);
        }
    });
    let slab = Copy::of(path(&writer));
    for series in slab.series.iter().filter(|series| series.name == "counter") {
        let slots = (0..8).map(|i| slab.image().point_slot(series.slot_offset(i)).unwrap());
        let newest = slots.max_by_key(|slot| slot.stamp()).unwrap();
        assert_eq!(newest.words()[0].load(Ordering::Relaxed), SAMPLES);
    }
    for vcpu in 0..3 {
        assert_eq!(slab.newest(&format!("histogram_{vcpu}")), SAMPLES);
    }
    slab.assert_buckets_add_up();
    assert_eq!(
        slab.refusals(),
        [0; 4],
        "a clock that a tick moves on is never behind a slot"
    );

    // And whoever claims a series next, in whichever thread, goes on with it.
    let mut counter = writer.counter("counter").label("vcpu", "1").owned().unwrap();
    std::thread::spawn(move || {
        counter.add(1);
        assert_eq!(counter.total(), SAMPLES + 1);
    })
    .join()
    .unwrap();
}
