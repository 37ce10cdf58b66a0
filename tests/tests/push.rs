//! What a whole collector pushes to a receiver that checks every rule of remote write.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use rondo_collector::export::remote_write::STALE_BITS;
use rondo_tests::export::{
    Export, Samples, assert_samples, born, count, destination, expected, expected_to_the_end,
};
use rondo_tests::receiver::Receiver;
use rondo_tests::simulation::Machine;
use rondo_writer::SchemaConfig;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn every_row_of_every_machine_arrives_once_and_in_order() {
    let receiver = Receiver::start();
    let mut export = Export::start(destination(&receiver.url()));
    let lives = [45, 46, 95, 311, 312, 900];
    let mut machines: Vec<_> = lives
        .iter()
        .map(|seconds| (export.machine(&format!("vm-{seconds}")), *seconds))
        .collect();
    for second in 0..903 {
        machines.retain(|(_, seconds)| second < *seconds);
        machines.iter_mut().for_each(|(machine, _)| machine.live(second));
        export.pass(second);
    }
    let expected: Samples = lives
        .iter()
        .flat_map(|seconds| expected_to_the_end(&format!("vm-{seconds}"), *seconds))
        .collect();
    let arrived = receiver.wait(PATIENCE, |journal| journal.sample_count >= count(&expected));
    export.stop();
    receiver.assert_clean();
    assert_samples(&receiver.samples(), &expected);
    assert!(arrived);
    assert_eq!(receiver.repeat_count(), 0);
}

/// The first of two that bear one name ends, and the second begins, while nobody collects: both are there at once for the next
/// collector, but did not live at once.
#[test]
fn a_machine_that_comes_again_while_nobody_collects_has_its_name() {
    let receiver = Receiver::start();
    let mut export = Export::start(destination(&receiver.url()));
    let mut first = vec![export.machine("vm")];
    export.live(&mut first, 0..25);
    export.kill();
    for second in 25..33 {
        first[0].live(second);
    }
    drop(first);
    let mut again = vec![Machine::born(&export.host, 40, "vm", SchemaConfig::default())];
    again[0].live(0);
    export.push();
    for second in 1..60 {
        again[0].live(second);
        export.pass(40 + second);
    }
    export.end(again, 101);
    // Whether the series end before they go on depends on who is quicker.
    let mut all = expected("vm", 33);
    for (labels, column) in born(40, expected("vm", 60)) {
        all.entry(labels).or_default().extend(column);
    }
    let values = |mut samples: Samples| {
        let is_value = |(_, bits): &(i64, u64)| *bits != STALE_BITS;
        samples.values_mut().for_each(|column| column.retain(is_value));
        samples
    };
    let arrived = receiver.wait(PATIENCE, |journal| {
        count(&values(journal.samples())) >= count(&all)
    });
    export.stop();
    receiver.assert_clean();
    assert_samples(&values(receiver.samples()), &all);
    assert!(arrived);
}
