//! Every command of the documentation is run, as it is typed, by a reader who follows a page from its top.
//!
//! The reader has a house of its own: a private `/dev/shm` and a private loopback (namespaces of the kernel), so that paths of the bus and
//! ports are those of the page; directories of the system are replaced (`REPLACED` in `tests/src/commands.rs`). What they find there: a
//! live machine, a store with machines that have ended, VictoriaMetrics.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rondo_tests::commands::{Command as Documented, How, documented, stale};
use rondo_tests::foreign::root;
use rondo_tests::pages::{Block, all};
use rondo_tests::skip::{has, skip};
use rondo_writer::Writer;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Told to the process inside.
const INSIDE: &str = "RONDO_TEST_HOUSE";
/// Where the house is, inside; it vanishes with the mount.
const HOUSE: &str = "/dev/shm/house";
/// How long a command may take; nothing waits so long unless it fails.
const PATIENCE: Duration = Duration::from_secs(180);

#[test]
fn each_command_has_a_rule_and_each_exception_a_command() {
    let commands = documented();
    assert!(commands.len() > 40, "{commands:?}");
    for command in &commands {
        let known = command.how().is_some();
        assert!(
            known,
            "{}:{}: {}: say in tests/src/commands.rs how it is run",
            command.page.display(),
            command.line,
            command.text
        );
    }
    assert_eq!(stale(&commands), Vec::<&str>::new());
}

#[test]
fn a_command_without_a_rule_is_found() {
    for text in [
        "$ rondoo ls",
        "# rondo ls",
        "$ sudo make",
        "# systemctl stop everything",
    ] {
        let command = Documented {
            page: PathBuf::from("page.md"),
            line: 1,
            text: text.to_owned(),
        };
        assert_eq!(command.how(), None, "{text}");
    }
}

#[test]
fn every_target_of_make_that_is_named_is_there() {
    let makefile = std::fs::read_to_string(root().join("Makefile")).unwrap();
    let commands = documented();
    let makes = commands.iter().filter(|one| one.how() == Some(How::Makes));
    for command in makes {
        let words = command.typed().split(' ').skip(1);
        let targets = words.take_while(|word| *word != "&&");
        for target in targets.filter(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '-')) {
            let rule = format!("\n{target}:");
            assert!(makefile.contains(&rule), "{}: {target}", command.text);
        }
    }
}

#[test]
fn every_command_does_what_its_page_says() {
    const NAME: &str = "every_command_does_what_its_page_says";
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    let script =
        "ip link set lo up && mount -t tmpfs -o size=4g,mode=1777 rondo /dev/shm || exit 77; exec \"$@\"";
    let mut command = Command::new("unshare");
    command
        // With process ids of its own, so that nothing outlives the reader, however it ends.
        .args(["--pid", "--fork", "--kill-child", "--mount-proc"])
        .args(["--mount", "--net", "--propagation", "private"])
        .args(["sh", "-c", script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(INSIDE, HOUSE);
    let Ok(output) = command.output() else {
        return skip(NAME, "no unshare");
    };
    let text = [&output.stdout, &output.stderr]
        .map(|bytes| String::from_utf8_lossy(bytes))
        .concat();
    if output.status.code() == Some(77) || text.contains("unshare: ") {
        return skip(NAME, text.trim());
    }
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    // Past the capture of the harness: what was run, and what was not.
    std::io::stderr().write_all(text.as_bytes()).unwrap();
}

/// The whole of it, inside.
fn inside() {
    let house = House::new();
    house.fill();
    let has_kvm = File::options().read(true).write(true).open("/dev/kvm").is_ok();
    let has_victoria = has("victoria-metrics");
    let (mut run, mut made, mut not_run) = (0, 0, Vec::new());
    let mut staying: Vec<Staying> = Vec::new();
    let mut page = PathBuf::new();
    for command in documented() {
        if command.page != page {
            stop(staying.drain(..));
            page.clone_from(&command.page);
        }
        let reason = match command.how().expect("another test asks") {
            How::NotRun(reason) => Some(reason),
            _ if command.needs_kvm() && !has_kvm => Some("no /dev/kvm"),
            _ if command.text.contains(":8428") && command.text.contains("curl") && !has_victoria => {
                Some("no victoria-metrics")
            }
            _ => None,
        };
        if let Some(reason) = reason {
            not_run.push((command, reason));
            continue;
        }
        println!("{}:{}: {}", command.page.display(), command.line, command.text);
        match command.how() {
            Some(How::Makes) => made += 1,
            Some(How::Stays(until)) => {
                let (same, others) = staying.drain(..).partition(|one| one.kind == command.kind());
                staying = others;
                stop(same);
                staying.push(house.start(&command, until));
                run += 1;
            }
            how => {
                house.run(&command, how == Some(How::Looks));
                run += 1;
            }
        }
    }
    stop(staying.drain(..));
    house.read_settings();
    assert!(run > 25, "{run}");
    println!(
        "{run} commands run, {made} targets of make, {} not run:",
        not_run.len()
    );
    for (command, reason) in &not_run {
        println!("  {}: {}: {reason}", command.page.display(), command.text);
    }
    let here = not_run.iter().filter(|(_, reason)| reason.starts_with("no "));
    for (command, reason) in here {
        skip(
            "every_command_does_what_its_page_says",
            &format!("{}: {reason}", command.text),
        );
    }
}

/// A command that runs.
struct Staying {
    kind: &'static str,
    text: String,
    child: Child,
    output: PathBuf,
}

/// Ctrl-C, which each of them has to take as the end.
fn stop(staying: impl IntoIterator<Item = Staying>) {
    for mut one in staying {
        let group = Pid::from_raw(one.child.id().cast_signed());
        killpg(group, Signal::SIGINT).unwrap();
        let start = Instant::now();
        let status = loop {
            if let Some(status) = one.child.try_wait().unwrap() {
                break status;
            }
            if start.elapsed() > PATIENCE {
                let _ = killpg(group, Signal::SIGKILL);
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        assert!(
            is_ended_by_hand(status),
            "{}: {status}: {}",
            one.text,
            read(&one.output)
        );
    }
}

fn is_ended_by_hand(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;
    matches!(status.code(), Some(0 | 130)) || status.signal() == Some(Signal::SIGINT as i32)
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

/// Where the reader is.
struct House {
    stop: Arc<AtomicBool>,
    machine: Option<std::thread::JoinHandle<()>>,
    victoria: Option<Child>,
}

impl House {
    fn new() -> Self {
        let house = Path::new(HOUSE);
        for folder in [
            "bin",
            "home",
            "tmp",
            "var/lib/prometheus",
            "run/rondo",
            "etc/rondo",
            "clone/target/demo-linux",
        ] {
            std::fs::create_dir_all(house.join(folder)).unwrap();
        }
        for (name, program) in [
            ("rondo", env!("CARGO_BIN_EXE_rondo_collect")),
            ("rondo-vmm", env!("CARGO_BIN_EXE_rondo_vmm")),
        ] {
            symlink(program, house.join("bin").join(name)).unwrap();
        }
        // An answer that says no is a failure here, as it is to whoever reads it.
        let curl = "#!/bin/sh\nPATH=${PATH#*:} exec curl --fail-with-body \"$@\"\n";
        std::fs::write(house.join("bin/curl"), curl).unwrap();
        std::fs::set_permissions(house.join("bin/curl"), PermissionsExt::from_mode(0o755)).unwrap();
        // What commands read of a clone; what they write stays in the house.
        for name in ["contrib", "docs", "spec"] {
            symlink(root().join(name), house.join("clone").join(name)).unwrap();
        }
        let stop = Arc::new(AtomicBool::new(false));
        let machine = live("vm-1", Path::new("/dev/shm/rondo"), stop.clone());
        let victoria = has("victoria-metrics").then(|| {
            let mut command = Command::new("victoria-metrics");
            command
                .arg(format!("-storageDataPath={HOUSE}/victoria"))
                .args(["-httpListenAddr=127.0.0.1:8428", "-loggerLevel=ERROR"]);
            command
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        });
        Self {
            stop,
            machine: Some(machine),
            victoria,
        }
    }

    /// A store of machines that have ended, one of them called as on the pages.
    fn fill(&self) {
        let bus = Path::new(HOUSE).join("bus");
        std::fs::create_dir(&bus).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let machine = live("vm-1", &bus, stop.clone());
        let ended = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(4));
            stop.store(true, Ordering::Relaxed);
            machine.join().unwrap();
        });
        let demo = format!("rondo demo --bus {HOUSE}/bus --store $HOUSE/tmp/demo-store --seconds 8");
        self.shell(&demo, Path::new(HOUSE)).unwrap();
        ended.join().unwrap();
        let copies =
            "cp -r tmp/demo-store var/lib/rondo && cp -r tmp/demo-store clone/target/demo-linux/store";
        self.shell(copies, Path::new(HOUSE)).unwrap();
    }

    /// A shell with the reader's environment.
    fn bash(&self, script: &str, folder: &Path) -> Command {
        let mut bash = Command::new("bash");
        bash.args(["-o", "pipefail", "-c", script]).current_dir(folder);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("RONDO_") {
                bash.env_remove(name);
            }
        }
        let path = std::env::var("PATH").unwrap();
        // Cargo keeps its things in the real home.
        let cargo = std::env::var("CARGO_HOME")
            .unwrap_or_else(|_| format!("{}/.cargo", std::env::var("HOME").unwrap()));
        let rustup = std::env::var("RUSTUP_HOME")
            .unwrap_or_else(|_| format!("{}/.rustup", std::env::var("HOME").unwrap()));
        bash.env("PATH", format!("{HOUSE}/bin:{path}"))
            .env("HOUSE", HOUSE)
            .env("HOME", format!("{HOUSE}/home"))
            .env("TMPDIR", format!("{HOUSE}/tmp"))
            .env("CARGO_HOME", cargo)
            .env("RUSTUP_HOME", rustup)
            .env("CARGO_NET_OFFLINE", "true")
            // As systemd would give it; 2 GiB for each collector are too many for memory.
            .env("STATE_DIRECTORY", format!("{HOUSE}/var/lib/rondo"))
            .env("RONDO_STORE_BUDGET", "16MiB")
            .stdin(Stdio::null())
            .process_group(0);
        bash
    }

    /// Runs a script to its end; what it said, if it failed.
    fn shell(&self, script: &str, folder: &Path) -> Result<(), String> {
        let output = self.bash(script, folder).output().unwrap();
        let said = [&output.stdout, &output.stderr]
            .map(|bytes| String::from_utf8_lossy(bytes))
            .concat();
        match output.status.code() {
            Some(0) => Ok(()),
            _ => Err(format!("{script}: {}: {said}", output.status)),
        }
    }

    /// Where a command is typed: cargo has to see the real one.
    fn folder(command: &Documented) -> PathBuf {
        if command.typed().starts_with("cargo ") {
            root().to_owned()
        } else {
            Path::new(HOUSE).join("clone")
        }
    }

    /// Each file of settings on the operator's page is one with which a collector starts.
    fn read_settings(&self) {
        let page = Path::new("docs/operating.md");
        let pages = all();
        let blocks = &pages.iter().find(|one| one.path == page).unwrap().blocks;
        let files: Vec<&Block> = blocks.iter().filter(|block| block.language == "toml").collect();
        assert!(files.len() > 3);
        for file in files {
            std::fs::write(Path::new(HOUSE).join("etc/rondo/collector.toml"), &file.text).unwrap();
            let command = Documented {
                page: page.to_owned(),
                line: file.line,
                text: "$ rondo collect --config /etc/rondo/collector.toml".to_owned(),
            };
            let Some(How::Stays(until)) = command.how() else {
                panic!("{command:?}");
            };
            stop([self.start(&command, until)]);
        }
    }

    fn run(&self, command: &Documented, may_find: bool) {
        let output = Path::new(HOUSE).join("output");
        let file = File::create(&output).unwrap();
        let mut bash = self.bash(&command.script(), &Self::folder(command));
        bash.stdout(file.try_clone().unwrap()).stderr(file);
        let mut child = bash.spawn().unwrap();
        let start = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if start.elapsed() > PATIENCE {
                let _ = killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL);
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let is_good = status.success() || (may_find && status.code() == Some(1));
        assert!(is_good, "{}: {status}: {}", command.text, read(&output));
    }

    /// Starts what stays, and waits until it does what it is there for.
    fn start(&self, command: &Documented, until: &str) -> Staying {
        let output = Path::new(HOUSE).join(format!(
            "output-{}-{}",
            command.line,
            command.kind().replace([' ', '/'], "-")
        ));
        let file = File::create(&output).unwrap();
        let mut bash = self.bash(&command.script(), &Self::folder(command));
        bash.stdout(file.try_clone().unwrap()).stderr(file);
        let mut one = Staying {
            kind: command.kind(),
            text: command.text.clone(),
            child: bash.spawn().unwrap(),
            output,
        };
        let until = format!("OUTPUT='{}'; {until}", one.output.display());
        let start = Instant::now();
        loop {
            let ended = one.child.try_wait().unwrap();
            let is_there = self.shell(&until, Path::new(HOUSE)).is_ok();
            assert_eq!(ended, None, "{}: {}", one.text, read(&one.output));
            if is_there {
                return one;
            }
            assert!(start.elapsed() < PATIENCE, "{}: {}", one.text, read(&one.output));
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(machine) = self.machine.take() {
            let _ = machine.join();
        }
        if let Some(mut victoria) = self.victoria.take() {
            let _ = victoria.kill();
            let _ = victoria.wait();
        }
    }
}

/// A machine with the names that pages ask for, which lives until it is told to stop.
fn live(instance: &str, bus: &Path, stop: Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    let builder = Writer::builder(instance);
    let builder = match bus.exists() {
        true => builder.bus(bus),
        // The default one, which a writer makes.
        false => builder,
    };
    let mut writer = builder.create().unwrap();
    let mut exits = writer
        .counter("vcpu_exits_total")
        .label("vcpu", "0")
        .owned()
        .unwrap();
    let mut duration = writer.histogram("vcpu_exit_duration_ns").owned().unwrap();
    let mut memory = writer.gauge("process_rss_bytes").owned().unwrap();
    std::thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            exits.add(10);
            duration.record(850.0);
            memory.set(6e6);
            writer.tick();
            std::thread::sleep(Duration::from_millis(100));
        }
        drop((exits, duration, memory));
        writer.close();
    })
}
