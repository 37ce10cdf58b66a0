//! What readers are told of a writer's life: the lock, the mark of a clean end, and forks.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

mod common;

use common::{Copy, SECOND, START, bus, child, is_locked, path, simulated, skip, told};
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};
use rondo_writer::Writer;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;

fn closed_ns(path: &Path) -> u64 {
    Copy::of(path).live().closed_ns.load(Ordering::Relaxed)
}

/// Unwinds as a panic would, without its message.
fn panic_with<T>(held: T) {
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _held = held;
        std::panic::resume_unwind(Box::new("a bug"));
    }));
    assert!(unwound.is_err());
}

#[test]
fn an_orderly_end_is_marked_and_a_panic_is_not() {
    let bus = bus();
    let mut writer = simulated(bus.path()).create().unwrap();
    let path = path(&writer);
    writer.tick_at(START + SECOND);
    assert_eq!((is_locked(&path), closed_ns(&path)), (true, 0));
    writer.close();
    assert_eq!((is_locked(&path), closed_ns(&path)), (false, START + 2 * SECOND));

    let writer = Writer::builder("vm-2").bus(bus.path()).create().unwrap();
    let path = common::path(&writer);
    let before = writer.now() - SECOND;
    writer.close();
    assert!(
        closed_ns(&path) > before,
        "close ticks, and marks the end in slab time"
    );
    assert!(Copy::of(&path).live().ticked_ns.load(Ordering::Relaxed) > before - SECOND);

    let writer = Writer::builder("vm-3").bus(bus.path()).create().unwrap();
    let path = common::path(&writer);
    panic_with(writer);
    assert_eq!((is_locked(&path), closed_ns(&path)), (false, 0));
}

/// A vCPU thread that outlives the thread with the writer must not record into unmapped memory, and
/// the machine is alive as long as someone may record.
#[test]
fn handles_keep_the_slab_alive_after_the_writer() {
    let bus = bus();
    let mut writer = simulated(bus.path()).create().unwrap();
    let path = path(&writer);
    let mut gauge = writer.gauge("gauge").owned().unwrap();
    let shared = writer.counter("shared").shared().unwrap();
    let clock = writer.clock();
    drop(writer);
    gauge.set_at(START + SECOND, 3.0);
    shared.add(5);
    assert_eq!(clock.now(), START);
    let slab = Copy::of(&path);
    assert_eq!((slab.newest("gauge"), slab.cell("shared")), (3f64.to_bits(), 5));
    drop((gauge, clock));
    assert_eq!((is_locked(&path), closed_ns(&path)), (true, 0));
    drop(shared);
    assert_eq!((is_locked(&path), closed_ns(&path)), (false, START + 2 * SECOND));
}

/// Reads on until a child says something.
fn said(stdout: &mut impl BufRead) -> String {
    let mut lines = stdout.lines().map(Result::unwrap);
    let said = lines.find_map(|line| line.strip_prefix("said ").map(Into::into));
    said.expect("the child says something")
}

/// A child that would wait for ever; killed also when the test fails.
struct Waiting(Child);

impl Drop for Waiting {
    fn drop(&mut self) {
        // Nothing happens to one that was waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The same of a grandchild.
struct WaitingHelper(Pid);

impl Drop for WaitingHelper {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGKILL);
    }
}

fn wait_for_ever() -> ! {
    loop {
        nix::unistd::pause();
    }
}

/// The kernel lets go of the lock, however the process ends: no reader waits for a dead machine.
#[test]
fn a_killed_writer_is_dead_at_once() {
    const NAME: &str = "a_killed_writer_is_dead_at_once";
    if let Some(bus) = told() {
        let mut writer = Writer::builder("vm-1").bus(bus).create().unwrap();
        let mut counter = writer.counter("counter").owned().unwrap();
        counter.add(7);
        println!("\nsaid {}", path(&writer).display());
        wait_for_ever();
    }
    let bus = bus();
    let spawned = child(NAME, bus.path().to_str().unwrap())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut writer = Waiting(spawned);
    let path = PathBuf::from(said(&mut BufReader::new(writer.0.stdout.take().unwrap())));
    assert!(is_locked(&path));
    writer.0.kill().unwrap();
    writer.0.wait().unwrap();
    assert_eq!((is_locked(&path), closed_ns(&path)), (false, 0));
    let slab = Copy::of(&path);
    assert_eq!((slab.newest("counter"), slab.refusals()), (7, [0; 4]));
    assert_eq!(
        slab.live().writer_pid.load(Ordering::Relaxed),
        u64::from(writer.0.id())
    );
}

/// Forks; the child does something and ends, and the parent goes on with how it ended.
fn in_a_fork(act: impl FnOnce()) -> WaitStatus {
    // SAFETY: in a child process that runs one test in its first thread, of which no other holds a lock.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            act();
            // SAFETY: ends the process, and nothing after it runs.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Parent { child } => waitpid(child, None).unwrap(),
    }
}

fn drop_in_a_fork(bus: &Path) {
    let mut writer = simulated(bus).create().unwrap();
    let path = path(&writer);
    let mut gauge = writer.gauge("gauge").owned().unwrap();
    let shared = writer.counter("shared").shared().unwrap();
    let mut taken = Some((writer, shared));
    let status = in_a_fork(|| {
        drop((
            taken.take(),
            std::mem::replace(&mut gauge, rondo_writer::Gauge::noop()),
        ));
    });
    assert!(matches!(status, WaitStatus::Exited(_, 0)), "{status:?}");
    assert_eq!((is_locked(&path), closed_ns(&path)), (true, 0));
    gauge.set_at(START + SECOND, 1.0);
    let (mut writer, shared) = taken.unwrap();
    shared.add(3);
    writer.tick_at(START + SECOND);
    let slab = Copy::of(&path);
    assert_eq!((slab.newest("gauge"), slab.newest("shared")), (1f64.to_bits(), 3));
    drop((writer, shared, gauge));
    assert_eq!((is_locked(&path), closed_ns(&path)), (false, START + 2 * SECOND));
}

/// A VMM that forks a helper, which runs the destructors that it inherited.
#[test]
fn a_fork_that_drops_the_writer_leaves_the_slab_alone() {
    const NAME: &str = "a_fork_that_drops_the_writer_leaves_the_slab_alone";
    if let Some(bus) = told() {
        return drop_in_a_fork(Path::new(&bus));
    }
    let bus = bus();
    let output = child(NAME, bus.path().to_str().unwrap()).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

/// The same where both are process 1 of their pid namespaces, as a container's VMM and its sandbox are.
#[test]
fn a_fork_of_the_same_process_id_leaves_the_slab_alone() {
    const NAME: &str = "a_fork_of_the_same_process_id_leaves_the_slab_alone";
    if let Some(bus) = told() {
        assert_eq!(std::process::id(), 1);
        println!("process 1");
        // SAFETY: changes nothing in this process but where its children are counted.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWPID) }, 0);
        return drop_in_a_fork(Path::new(&bus));
    }
    let bus = bus();
    let test = child(NAME, bus.path().to_str().unwrap());
    let mut command = Command::new("unshare");
    command
        .args(["--pid", "--fork"])
        .arg(test.get_program())
        .args(test.get_args());
    match command.env("RONDO_TEST_CHILD", bus.path()).output() {
        Ok(output) if String::from_utf8_lossy(&output.stdout).contains("process 1") => {
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stdout)
            );
        }
        Ok(output) => skip(NAME, String::from_utf8_lossy(&output.stderr).trim()),
        Err(error) => skip(NAME, &format!("no unshare: {error}")),
    }
}

/// A helper that lives on must not keep its dead machine alive: nobody would store it away.
#[test]
fn a_fork_that_lives_on_does_not_keep_the_lock() {
    const NAME: &str = "a_fork_that_lives_on_does_not_keep_the_lock";
    if let Some(bus) = told() {
        let writer = Writer::builder("vm-1").bus(bus).create().unwrap();
        // SAFETY: as in `in_a_fork`.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => wait_for_ever(),
            ForkResult::Parent { child } => println!("\nsaid {}\nsaid {child}", path(&writer).display()),
        }
        wait_for_ever();
    }
    let bus = bus();
    let spawned = child(NAME, bus.path().to_str().unwrap())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut writer = Waiting(spawned);
    let mut stdout = BufReader::new(writer.0.stdout.take().unwrap());
    let path = PathBuf::from(said(&mut stdout));
    let helper = WaitingHelper(Pid::from_raw(said(&mut stdout).parse().unwrap()));
    assert!(is_locked(&path));
    writer.0.kill().unwrap();
    writer.0.wait().unwrap();
    kill(helper.0, None).expect("the helper lives");
    assert!(!is_locked(&path));
}
