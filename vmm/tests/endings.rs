//! Signals, wrong flags, a bus that refuses: the VMM ends, or goes on, and says why.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{BRIEF, Recorded, bus, has_kvm, start, vmm, wait_for_exits};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rondo_reader::Liveness;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

#[test]
fn a_signal_ends_the_machine_cleanly() {
    if !has_kvm("a_signal_ends_the_machine_cleanly") {
        return;
    }
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let bus = bus();
        let vmm = start(bus.path(), &["--cpus", "2"]);
        wait_for_exits(bus.path());
        kill(Pid::from_raw(vmm.id().cast_signed()), signal).unwrap();
        let output = vmm.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(said.contains(&format!("ended by {signal}")), "{said}");
        assert_eq!(Recorded::read(bus.path()).view.liveness, Liveness::Closed);
    }
}

/// As `nohup` has it, whose user has gone.
#[test]
fn a_signal_that_is_ignored_from_the_start_ends_nothing() {
    if !has_kvm("a_signal_that_is_ignored_from_the_start_ends_nothing") {
        return;
    }
    let bus = bus();
    let vmm = format!("{:?}", vmm(bus.path(), &["--seconds", "2"]));
    let script = format!("trap '' HUP; {vmm} & sleep 1; kill -HUP $!; wait $!");
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("the time is up"), "{said}");
}

/// The message is all that a person has to go by.
#[test]
fn what_a_person_got_wrong_is_said_with_what_to_do() {
    let bus = bus();
    let said = |arguments: &[&str]| {
        let output = vmm(bus.path(), arguments).output().unwrap();
        assert_ne!(output.status.code(), Some(0));
        String::from_utf8(output.stderr).unwrap()
    };
    let memory = said(&["--memory", "1"]);
    assert!(memory.contains("at least 2 with --memory"), "{memory}");
    let cpus = said(&["--cpus", "0"]);
    assert!(cpus.contains("1..=254"), "{cpus}");
    let flag = said(&["--tox"]);
    assert!(flag.contains("--toy"), "{flag}");

    let binary = assert_cmd::cargo::cargo_bin!("rondo-vmm");
    let said = |arguments: &[&str]| {
        let output = Command::new(binary).args(arguments).output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    let nothing = said(&[]);
    assert!(
        nothing.contains("--toy") && nothing.contains("--kernel"),
        "{nothing}"
    );
    let both = said(&["--toy", "--kernel", "x"]);
    assert!(both.contains("cannot be used with"), "{both}");
    let name = said(&["--toy", "--instance", "../vm"]);
    assert!(
        name.contains("see --instance") && name.contains("\"../vm\""),
        "{name}"
    );
}

/// A kernel image that is none must not become a guest that does nothing.
#[test]
fn files_that_are_no_guest_are_refused_by_name() {
    if !has_kvm("files_that_are_no_guest_are_refused_by_name") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let said = |kernel: &Path, memory: &str| {
        let output = Command::new(assert_cmd::cargo::cargo_bin!("rondo-vmm"))
            .args(["--memory", memory, "--seconds", "1", "--bus"])
            .arg(directory.path())
            .arg("--kernel")
            .arg(kernel)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let missing = said(Path::new("/no/such/vmlinuz"), "128");
    assert!(missing.contains("cannot read /no/such/vmlinuz"), "{missing}");
    let folder = said(directory.path(), "128");
    assert!(folder.contains("it is not a file"), "{folder}");
    let pipe = directory.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let waiting = said(&pipe, "128");
    assert!(waiting.contains("it is not a file"), "{waiting}");
    let text = directory.path().join("text");
    std::fs::write(&text, "not a kernel\n".repeat(1_000)).unwrap();
    let other = said(&text, "128");
    assert!(other.contains("is not a Linux kernel; give a bzImage"), "{other}");
    // The beginnings of ELF files: for another processor, and one that ends too soon.
    for (machine, says) in [(183, "give one for x86-64"), (62, "is not a Linux kernel")] {
        let elf = directory.path().join("elf");
        let mut start = b"\x7fELF\x02\x01\x01".to_vec();
        start.resize(18, 0);
        start.extend([machine, 0]);
        std::fs::write(&elf, start).unwrap();
        let refused = said(&elf, "128");
        assert!(refused.contains(says), "{refused}");
    }
    let small = said(&text, "8");
    assert!(small.contains("with --memory"), "{small}");
}

/// /dev/kvm belongs to root or a group; a newcomer's first error.
#[test]
fn without_permission_or_kvm_the_vmm_says_what_to_do() {
    const NOBODY: u32 = 65_534;
    let test = "without_permission_or_kvm_the_vmm_says_what_to_do";
    if !has_kvm(test) {
        return;
    }
    if !nix::unistd::geteuid().is_root() {
        return common::skip(test, "only root can become somebody else");
    }
    let directory = tempfile::tempdir().unwrap();
    let binary = directory.path().join("rondo-vmm");
    std::fs::copy(assert_cmd::cargo::cargo_bin!("rondo-vmm"), &binary).unwrap();
    std::fs::set_permissions(
        directory.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let is_open_to_all = {
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata("/dev/kvm").unwrap().permissions());
        mode & 0o006 != 0
    };
    if is_open_to_all {
        common::skip(test, "/dev/kvm is open to everybody");
    } else {
        let output = Command::new(&binary)
            .args(["--toy", "--bus"])
            .arg(directory.path())
            .uid(NOBODY)
            .gid(NOBODY)
            .output()
            .unwrap();
        let forbidden = String::from_utf8(output.stderr).unwrap();
        assert!(forbidden.contains("usermod -aG kvm"), "{forbidden}");
    }

    let hidden = format!("mount -t tmpfs none /dev && exec '{}' --toy", binary.display());
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", &hidden])
        .output()
        .unwrap();
    let missing = String::from_utf8(output.stderr).unwrap();
    assert!(
        missing.contains("there is no /dev/kvm; load the module"),
        "{missing}"
    );
}

/// `rondo-vmm | less`, and then a shutdown of the host.
#[test]
fn a_console_that_nobody_reads_does_not_keep_the_vmm_alive() {
    if !has_kvm("a_console_that_nobody_reads_does_not_keep_the_vmm_alive") {
        return;
    }
    let bus = bus();
    let (reader, writer) = std::io::pipe().unwrap();
    // As small as the kernel makes it.
    nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
    let rounds = ["--toy-burst", "0", "--toy-disk", "0", "--toy-idle", "0"];
    let mut child = vmm(bus.path(), &rounds)
        .args(["--seconds", "30"])
        .stdout(writer)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    wait_for_exits(bus.path());
    let mut before = 0;
    common::wait_until("a full pipe", || {
        std::thread::sleep(std::time::Duration::from_millis(300));
        let now = Recorded::read(bus.path()).exits("0", "io_out");
        now == std::mem::replace(&mut before, now)
    });
    let ticked_ns = Recorded::read(bus.path()).view.ticked_ns;
    common::wait_until("a tick of the event loop", || {
        Recorded::read(bus.path()).view.ticked_ns > ticked_ns
    });
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    common::wait_until("the end", || child.try_wait().unwrap().is_some());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!((4_096..5_000).contains(&before), "{before} bytes");
    drop(reader);
}

#[test]
fn memory_that_the_host_cannot_reserve_is_refused() {
    if !has_kvm("memory_that_the_host_cannot_reserve_is_refused") {
        return;
    }
    let bus = bus();
    let output = vmm(bus.path(), &["--memory", "17592186044415"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("give less with --memory"), "{said}");
}

/// Metrics may never be the reason why a machine does not run.
#[test]
fn a_machine_runs_without_its_bus() {
    if !has_kvm("a_machine_runs_without_its_bus") {
        return;
    }
    let nowhere = Path::new("/proc/self/no-such-bus");
    let output = vmm(nowhere, &BRIEF).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("warning: no metrics: bus directory"), "{said}");
    assert!(said.contains("the guest powered off"), "{said}");
}

/// A terminal left raw is a terminal that its person cannot use.
#[test]
fn the_terminal_is_given_back_as_it_was() {
    if !has_kvm("the_terminal_is_given_back_as_it_was") {
        return;
    }
    let binary = assert_cmd::cargo::cargo_bin!("rondo-vmm");
    let rounds = "--toy-rounds 1 --toy-burst 1 --toy-disk 1 --toy-idle 100";
    for (end, signal) in [("--seconds 1", ":"), (rounds, ":"), ("--seconds 9", "kill $vmm")] {
        let bus = bus();
        let script = format!(
            "stty -g; '{}' --toy --bus '{}' {end} </dev/tty >/dev/null 2>&1 & vmm=$!; \
             sleep 0.6; stty -g; {signal}; wait $vmm; stty -g",
            binary.display(),
            bus.path().display(),
        );
        let output = Command::new("script")
            .args(["--quiet", "--return", "--command", &script, "/dev/null"])
            .env("SHELL", "/bin/sh")
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let modes: Vec<&str> = text
            .lines()
            .map(str::trim)
            .filter(|line| line.contains(':'))
            .collect();
        assert_eq!(modes.len(), 3, "{text}");
        assert_ne!(modes[0], modes[1], "{end}: never raw");
        assert_eq!(modes[0], modes[2], "{end}");
    }
}

/// Somebody who reads the first line and goes, or a full disk: no reason to die of a message.
#[test]
fn a_standard_error_that_takes_nothing_does_not_change_the_end() {
    if !has_kvm("a_standard_error_that_takes_nothing_does_not_change_the_end") {
        return;
    }
    let bus = bus();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut vmm = vmm(bus.path(), &["--seconds", "1"]);
    let status = vmm
        .stdout(std::process::Stdio::null())
        .stderr(full)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(0), "{status}");
}

/// Started with `&` in a shell at which somebody goes on typing.
#[test]
fn a_job_in_the_background_is_not_stopped_by_what_is_typed() {
    if !has_kvm("a_job_in_the_background_is_not_stopped_by_what_is_typed") {
        return;
    }
    let bus = bus();
    let vmm = format!("{:?}", vmm(bus.path(), &["--seconds", "2"]));
    // A job that the keys stop never writes its line; half a minute is enough for any other.
    let ended = bus.path().join("ended");
    let ended = ended.display();
    let script = format!(
        "set -m; ({vmm}; echo ended with $? >{ended}) & \
         for look in $(seq 60); do [ -s {ended} ] && break; sleep 0.5; done; cat {ended}; kill -9 %1 2>/dev/null; true"
    );
    let mut terminal = Command::new("script")
        .args(["--quiet", "--return", "--command", &script, "/dev/null"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut keys = terminal.stdin.take().unwrap();
    std::thread::sleep(std::time::Duration::from_secs(1));
    std::io::Write::write_all(&mut keys, b"ls\n").unwrap();
    let output = terminal.wait_with_output().unwrap();
    drop(keys);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("ended with 0"), "{said}");
}
