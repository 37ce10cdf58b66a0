//! What a whole collector pushes to a receiver that checks every rule of remote write.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use rondo_tests::export::{Export, Samples, assert_samples, count, destination, expected_to_the_end};
use rondo_tests::receiver::Receiver;
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
