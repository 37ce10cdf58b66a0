//! The VMM's event loop never waits for a collector: not for one that works, nor for one that is stopped with all that
//! it holds, nor for one that was killed.
//!
//! A tick that is late by more than half a second is missed, and the slab has no point for its second. A loaded host
//! makes any loop late, so a second machine, without a collector, runs at the same time: what it missed too was not
//! the collector's doing. And a loop that does wait, made for this test, shows that waiting would be seen.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};
use nix::sys::signal::{Signal, kill};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::unistd::Pid;
use rondo_reader::PointValue;
use rondo_tests::collect::Collect;
use rondo_tests::random::Random;
use rondo_tests::recorded::{Recorded, SECOND, bus, slab_path};
use rondo_tests::servers::get;
use rondo_tests::skip::{has, skip};
use rondo_tests::toy::{has_kvm, vmm, wait_for_exits};
use rondo_tests::wait::wait_until;
use rondo_vmm::event_loop::Deadline;
use rondo_vmm::metrics::{MetricsConfig, MetricsSet, VmMetrics};
use rondo_vmm::toy::Toy;
use rondo_vmm::{Machine, MachineConfig};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const PHASE: Duration = Duration::from_secs(3);
/// A loop that waits misses ticks in every run; a host that is far too busy, in some.
const RUNS: usize = 3;
/// Busy, but not so busy that the machines starve each other.
const TOY: [&str; 8] = [
    "--toy-burst",
    "300",
    "--toy-disk",
    "200",
    "--toy-idle",
    "10",
    "--seconds",
    "120",
];

/// A VMM that is killed when dropped.
struct Vmm(Child);

impl Vmm {
    fn start(bus: &Path) -> Self {
        let mut command = vmm(env!("CARGO_BIN_EXE_rondo_vmm"), bus, &TOY);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null());
        let this = Self(child.spawn().unwrap());
        wait_for_exits(bus);
        this
    }

    /// Lets it close its slab.
    fn end(&mut self) {
        kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGTERM).unwrap();
        assert_eq!(self.0.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Vmm {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn collect(bus: &Path, store: &Path) -> (Collect, SocketAddr) {
    let binary = env!("CARGO_BIN_EXE_rondo_collect");
    let mut collector = Collect::start(binary, bus, store, &["--listen", "127.0.0.1:0"]);
    let address = collector.wait_until_it_answers();
    (collector, address)
}

/// The seconds of these in which a machine did not tick.
fn missed(recorded: &Recorded, seconds: Range<u64>) -> BTreeSet<u64> {
    let ticks = recorded.points("vmm_uptime_seconds", &[]);
    let ticked: BTreeSet<u64> = ticks.iter().map(|point| point.t / SECOND).collect();
    seconds.filter(|second| !ticked.contains(second)).collect()
}

/// Waits for a tick, and returns its second.
fn second_of_a_tick(bus: &Path) -> u64 {
    let ticked_ns = || Recorded::read(bus).view.ticked_ns;
    let before = ticked_ns();
    wait_until("a tick", || ticked_ns() > before);
    ticked_ns() / SECOND
}

/// For people who compare: nothing is asserted about how late a tick may be.
fn lateness_max_ms(recorded: &Recorded) -> f64 {
    let points = recorded.points("vmm_tick_lateness_ns", &[]);
    let max = |value| match value {
        PointValue::Distribution { max, .. } => max.unwrap_or(0.0),
        _ => 0.0,
    };
    points.iter().map(|point| max(point.value)).fold(0.0, f64::max) / 1e6
}

/// What is held while it is stopped: the slab's pages, and the lock that says who collects here.
fn assert_that_it_is_stopped_with_all_that_it_holds(collector: &Collect, bus: &Path) {
    let proc = |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", collector.id())).unwrap();
    wait_until("the stop", || proc("stat").contains(") T "));
    let slab = slab_path(bus);
    assert!(
        proc("maps").contains(slab.to_str().unwrap()),
        "the slab is not mapped"
    );
    let lock = std::fs::metadata(bus.join(".collector.lock")).unwrap().ino();
    let locks = std::fs::read_to_string("/proc/locks").unwrap();
    assert!(locks.contains(&format!(":{lock} ")), "{locks}");
}

/// One machine with a collector that works, is stopped twice and killed, and one without; and the seconds of all that.
fn run(random: &mut Random) -> ([Recorded; 2], Range<u64>) {
    let (observed, alone, store) = (bus(), bus(), tempfile::tempdir().unwrap());
    let mut machines = [&observed, &alone].map(|bus| Vmm::start(bus.path()));
    // Ticks that never came would be none between the first and the last.
    let first = [&observed, &alone].map(|bus| second_of_a_tick(bus.path()));
    let (mut collector, address) = collect(observed.path(), store.path());
    let answers = AtomicU64::new(0);
    std::thread::scope(|scope| {
        // Gone also when something fails here, which the scope's end would wait for for ever otherwise.
        let asking = Arc::new(());
        let (is_asked, answers) = (Arc::downgrade(&asking), &answers);
        scope.spawn(move || {
            while is_asked.strong_count() > 0 {
                let page = "/metrics/query?series=vcpu_exits_total&range=1m&tier=auto";
                for page in [page, "/metrics/machines", "/metrics/info"] {
                    if get(address, page).is_some_and(|(status, _)| status == 200) {
                        answers.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        });
        std::thread::sleep(PHASE);
        wait_until("answers", || answers.load(Ordering::Relaxed) > 20);
        for _ in 0..2 {
            // In the middle of a pass, of an answer, or of nothing.
            std::thread::sleep(Duration::from_micros(random.below(1_000_000)));
            collector.send(Signal::SIGCONT);
            std::thread::sleep(Duration::from_micros(random.below(50_000)));
            collector.send(Signal::SIGSTOP);
            assert_that_it_is_stopped_with_all_that_it_holds(&collector, observed.path());
            std::thread::sleep(PHASE);
        }
        collector.kill();
        drop(asking);
        std::thread::sleep(PHASE);
    });
    println!("{} answers", answers.into_inner());
    // The tick of a second comes in the middle of it, so this one's need not have come.
    let end = Recorded::read(observed.path()).view.now_ns / SECOND;
    machines.iter_mut().for_each(Vmm::end);
    let seconds = first.into_iter().max().unwrap()..end;
    assert!(
        Duration::from_secs(seconds.end - seconds.start) >= 3 * PHASE,
        "{seconds:?}"
    );
    ([&observed, &alone].map(|bus| Recorded::read(bus.path())), seconds)
}

#[test]
fn no_tick_is_missed_because_of_a_collector() {
    if !has_kvm("no_tick_is_missed_because_of_a_collector") {
        return;
    }
    let mut random = Random::of_this_run();
    for _ in 0..RUNS {
        let (machines, seconds) = run(&mut random);
        let [observed, alone] = machines
            .each_ref()
            .map(|machine| missed(machine, seconds.clone()));
        println!(
            "missed of {seconds:?}: {observed:?}, and without a collector {alone:?}; latest: {:?} ms",
            machines.each_ref().map(lateness_max_ms)
        );
        for (recorded, missed) in machines.iter().zip([&observed, &alone]) {
            let counted = recorded.counter("vmm_missed_ticks_total", &[]);
            assert!(counted >= missed.len() as u64, "the VMM itself counts {counted}");
        }
        let is_the_hosts_doing = |second: &u64| (second - 1..=second + 1).any(|near| alone.contains(&near));
        if observed.iter().all(is_the_hosts_doing) {
            return;
        }
    }
    panic!("in each of {RUNS} runs, ticks were missed that a machine without a collector did not miss");
}

/// What the loop must not be: one of its subscribers asks the collector something.
struct Asks {
    timer: TimerFd,
    address: SocketAddr,
}

impl MutEventSubscriber for Asks {
    fn process(&mut self, _: Events, _: &mut EventOps<'_>) {
        let _ = self.timer.wait();
        get(self.address, "/-/ready");
    }

    fn init(&mut self, ops: &mut EventOps<'_>) {
        let events = Events::new_raw(self.timer.as_fd().as_raw_fd(), EventSet::IN);
        ops.add(events).unwrap();
    }
}

/// A VMM with such a loop, in a process of its own. Without filters, which would end it at its first question.
#[test]
#[ignore = "run by the test below, in a process of its own"]
fn child_with_a_loop_that_asks() {
    let variable = |name| std::env::var(name).unwrap();
    let config = MetricsConfig {
        instance: "vm-1".into(),
        bus: Some(variable("VMM_TEST_BUS").into()),
        set: MetricsSet::Default,
        cpus: 1,
        disks: 0,
        device_series: (0, 0),
    };
    let (metrics, _) = VmMetrics::create(&config).unwrap();
    let config = MachineConfig {
        memory_mib: 2,
        cpus: 1,
        seccomp: false,
    };
    let mut machine = Machine::new(config, metrics, Box::new(std::io::sink())).unwrap();
    let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC).unwrap();
    let often = TimeSpec::from_duration(Duration::from_millis(200));
    timer
        .set(Expiration::Interval(often), TimerSetTimeFlags::empty())
        .unwrap();
    machine.subscribe(Box::new(Asks {
        timer,
        address: variable("VMM_TEST_COLLECTOR").parse().unwrap(),
    }));
    let end = machine.end().clone();
    machine.subscribe(Box::new(Deadline::new(Duration::from_secs(60), end).unwrap()));
    let toy = Toy {
        burst_ticks: 10,
        disk_ticks: 10,
        idle_ticks: 10,
        ..Toy::default()
    };
    let entry = toy.load(&machine.vm().memory).unwrap();
    machine.run(entry).unwrap();
}

/// Or the test above would show nothing: the same stop, and a loop that waits.
#[test]
fn a_loop_that_asks_a_stopped_collector_is_found_out() {
    if !has_kvm("a_loop_that_asks_a_stopped_collector_is_found_out") {
        return;
    }
    let (bus, store) = (bus(), tempfile::tempdir().unwrap());
    let (collector, address) = collect(bus.path(), store.path());
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_with_a_loop_that_asks", "--ignored"])
        .env("VMM_TEST_BUS", bus.path())
        .env("VMM_TEST_COLLECTOR", address.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let _child = Vmm(child);
    wait_for_exits(bus.path());
    let first = second_of_a_tick(bus.path());
    collector.send(Signal::SIGSTOP);
    std::thread::sleep(PHASE + PHASE);
    collector.send(Signal::SIGCONT);
    let end = second_of_a_tick(bus.path());
    let missed = missed(&Recorded::read(bus.path()), first..end);
    assert!(missed.len() >= 2, "{missed:?}");
}

/// Calls that the loop may make, none of which can wait for another process but the first two, and those end with
/// the next event and with the vCPU's.
const CALLS: [&str; 10] = [
    "epoll_wait",
    "epoll_pwait",
    "read",
    "pread64",
    "getdents64",
    "lseek",
    "timerfd_settime",
    "restart_syscall",
    "clock_gettime",
    "getpid",
];

/// The cause of the above. What a collector shares with a VMM are the slab, its directory, and the sockets it answers on.
#[test]
fn the_event_loop_makes_no_call_on_anything_that_a_collector_shares() {
    let test = "the_event_loop_makes_no_call_on_anything_that_a_collector_shares";
    if !has_kvm(test) {
        return;
    }
    if !has("strace") {
        return skip(test, "there is no strace");
    }
    let (bus, store) = (bus(), tempfile::tempdir().unwrap());
    let mut machine = Vmm::start(bus.path());
    let (_collector, _) = collect(bus.path(), store.path());
    let log = store.path().join("calls");
    // Of this thread only, each descriptor with what it is.
    let mut strace = Command::new("strace")
        .args(["-qq", "-y", "-p", &machine.0.id().to_string(), "-o"])
        .arg(&log)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let calls = || std::fs::read_to_string(&log).unwrap_or_default();
    let mut is_refused = false;
    wait_until("some ticks", || {
        is_refused = strace.try_wait().unwrap().is_some();
        is_refused || calls().matches("timerfd_settime(").count() >= 3
    });
    if is_refused {
        // A filter may have ended both.
        assert!(
            machine.0.try_wait().unwrap().is_none(),
            "the VMM ended: {}",
            calls()
        );
        let said = std::io::read_to_string(strace.stderr.take().unwrap()).unwrap();
        return skip(test, &format!("strace cannot look: {}", said.trim()));
    }
    kill(Pid::from_raw(strace.id().cast_signed()), Signal::SIGINT).unwrap();
    strace.wait().unwrap();

    let calls = calls();
    let bus = bus.path().to_str().unwrap();
    assert!(calls.contains("timerfd]>"), "descriptors are not named: {calls}");
    for call in calls.lines() {
        let name = call.split('(').next().unwrap();
        assert!(CALLS.contains(&name), "{call}");
        assert!(
            !call.contains(bus) && !call.contains("socket:") && !call.contains("TCP:"),
            "{call}"
        );
    }
}
