//! All that a VMM needs, in the order in which it needs it: the example of the README, without a machine.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let elapsed_ns = 850;

    use rondo_writer::{Unit, Writer};

    let mut writer = Writer::builder("vm-1").label("tenant", "blue").create()?;
    let mut exits = writer.counter("vcpu_exits_total").label("vcpu", "0").owned()?;
    let mut exit_time = writer
        .histogram("vcpu_exit_duration_ns")
        .unit(Unit::Nanoseconds)
        .owned()?;
    let clock = writer.clock();

    // in the vCPU thread, at each exit; nothing here can fail, block or allocate
    let now = clock.now();
    exits.add_at(now, 1);
    exit_time.record_at(now, elapsed_ns as f64);

    // in the event loop, once a second, at writer.next_tick()
    writer.tick();

    // at the end, when the threads have dropped their handles; without it the machine looks killed
    writer.close();
    Ok(())
}
