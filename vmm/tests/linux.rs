//! A stock Linux kernel boots, works and switches itself off, and the slab shows what it did.
//!
//! Where the processor has virtualisation, the VMM runs here; elsewhere in a machine that QEMU emulates, which takes
//! about 20 s (`guest/nested.sh`). Nothing is asserted about speed: emulation has none.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{Recorded, SECOND, has, has_kvm, skip};
use rondo_reader::{Liveness, Point, PointValue};
use rondo_vmm::exit::ExitReason;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Length of the workload's phases.
const PHASE_SECONDS: u64 = 3;

/// What is run: a name, and arguments, in which `/guest` is where the guest's files are, and `/disks` its disks.
const RUNS: [(&str, &[&str]); 2] = [
    (
        "one",
        &[
            "--disk",
            "/disks/vda",
            "--disk",
            "/disks/vdb,ro",
            "--cmdline",
            "console=ttyS0 panic=-1 pci=off quiet phase=3",
        ],
    ),
    (
        "two",
        &[
            "--cpus",
            "2",
            "--disk",
            "/disks/vdc",
            "--disk",
            "/disks/vdd,ro",
            "--cmdline",
            "console=ttyS0 panic=-1 pci=off quiet phase=0 end=reboot",
        ],
    ),
];

/// The files behind the disks of each run, which are vda and vdb to its guest: one to write to, and one to read.
const DISKS: [[&str; 2]; 2] = [["vda", "vdb"], ["vdc", "vdd"]];

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/guest");

/// Kernels and the initramfs; made once, kept beside the build.
fn guest(options: &[&str]) -> Result<PathBuf, String> {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guest");
    let built = Command::new(Path::new(SCRIPTS).join("build.sh"))
        .args(options)
        .arg(&directory)
        .output();
    let built = built.map_err(|error| error.to_string())?;
    if built.status.success() {
        Ok(directory)
    } else {
        let said = String::from_utf8_lossy(&built.stderr).into_owned();
        Err(format!(
            "no guest can be made: {}",
            said.trim().replace('\n', "; ")
        ))
    }
}

fn has_hardware() -> bool {
    let found = Command::new(Path::new(SCRIPTS).join("has-hardware.sh")).status();
    found.unwrap().success()
}

/// Files as `nested.sh` leaves them, from a VMM that runs here.
fn run_here(guest: &Path, kernel: &str, disks: &Path, output: &Path) {
    for (name, arguments) in RUNS {
        let ended = Command::new("timeout")
            .arg("60")
            .arg(assert_cmd::cargo::cargo_bin!("rondo-vmm"))
            .args(["--instance", name, "--bus"])
            .arg(output)
            .arg("--kernel")
            .arg(guest.join(kernel))
            .arg("--initramfs")
            .arg(guest.join("initramfs"))
            .args(
                arguments
                    .iter()
                    .map(|argument| argument.replace("/disks", disks.to_str().unwrap())),
            )
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = [ended.stdout, ended.stderr].concat();
        std::fs::write(output.join(format!("{name}.out")), said).unwrap();
        let code = ended.status.code().unwrap().to_string();
        std::fs::write(output.join(format!("{name}.code")), code).unwrap();
    }
}

fn run_nested(guest: &Path, kernel: &str, disks: &Path, output: &Path) {
    let mut nested = Command::new(Path::new(SCRIPTS).join("nested.sh"))
        .arg(assert_cmd::cargo::cargo_bin!("rondo-vmm"))
        .args([guest, output, disks])
        .env_remove("RONDO")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut runs = nested.stdin.take().unwrap();
    for (name, arguments) in RUNS {
        let quoted: Vec<String> = arguments.iter().map(|argument| format!("'{argument}'")).collect();
        let arguments = quoted.join(" ");
        writeln!(
            runs,
            "{name} 60 --kernel /guest/{kernel} --initramfs /guest/initramfs {arguments}"
        )
        .unwrap();
    }
    drop(runs);
    assert!(nested.wait().unwrap().success());
}

/// Of a whole file.
fn sum(path: &Path) -> String {
    let file = std::fs::File::open(path).unwrap();
    let printed = Command::new("md5sum").stdin(file).output().unwrap().stdout;
    String::from_utf8(printed)
        .unwrap()
        .trim_end_matches("  -\n")
        .to_owned()
}

/// Empty disks to write to, and some to read.
fn make_disks(directory: &Path) {
    let text: Vec<u8> = (0..512_u32 << 10).map(|at| (at % 251) as u8).collect();
    for [written, read] in DISKS {
        std::fs::write(directory.join(written), vec![0; 2 << 20]).unwrap();
        std::fs::write(directory.join(read), &text).unwrap();
    }
}

struct Ended {
    said: String,
    recorded: Recorded,
}

fn ended(output: &Path, name: &str) -> Ended {
    let read = |suffix| std::fs::read_to_string(output.join(format!("{name}.{suffix}"))).unwrap();
    let said = read("out");
    assert_eq!(read("code").trim(), "0", "{name}: {said}");
    let mut names = std::fs::read_dir(output)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let slab = names.find(|path| {
        path.extension().is_some_and(|e| e == "slab") && {
            let file = path.file_name().unwrap().to_str().unwrap();
            file.starts_with(&format!("{name}."))
        }
    });
    Ended {
        said,
        recorded: Recorded::open(&slab.unwrap()),
    }
}

fn total(point: &Point) -> u64 {
    match point.value {
        PointValue::Counter(total) => total,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_stock_kernel_boots_works_and_switches_itself_off() {
    boot(
        "a_stock_kernel_boots_works_and_switches_itself_off",
        &[],
        "vmlinuz",
    );
}

/// As a bzImage, and as the vmlinux that is in it.
#[test]
#[ignore = "compiles a kernel, which takes minutes: make test-guest-kernel"]
fn a_kernel_without_modules_boots_works_and_switches_itself_off() {
    for kernel in ["vmlinuz-minimal", "vmlinux-minimal"] {
        boot(
            "a_kernel_without_modules_boots_works_and_switches_itself_off",
            &["--build-kernel"],
            kernel,
        );
    }
}

/// The whole of it, in one boot of the outer machine.
fn boot(test: &str, options: &[&str], kernel: &str) {
    let guest = match guest(options) {
        Ok(guest) => guest,
        Err(why) => return skip(test, &why),
    };
    let (output, disks) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    make_disks(disks.path());
    let untouched = sum(&disks.path().join("vdb"));
    if has_hardware() {
        assert!(has_kvm(test));
        run_here(&guest, kernel, disks.path(), output.path());
        let line = |disk: &&str| format!("{}  {disk}\n", sum(&disks.path().join(disk)));
        let sums: String = DISKS.as_flattened().iter().map(line).collect();
        std::fs::write(output.path().join("disks.md5"), sums).unwrap();
    } else if has("qemu-system-x86_64") {
        run_nested(&guest, kernel, disks.path(), output.path());
    } else {
        return skip(test, "neither virtualisation nor qemu-system-x86_64");
    }

    let one = ended(output.path(), "one");
    for line in [
        "guest: up with 1 cpus",
        "guest: burst",
        "guest: idle",
        "guest: done",
    ] {
        assert!(one.said.contains(line), "{line}: {}", one.said);
    }
    assert!(
        one.said.ends_with("rondo-vmm: the guest powered off\n"),
        "{}",
        one.said
    );
    let after_ms = |what: &str| one.recorded.gauge(&format!("boot_first_{what}_ns")) / 1e6;
    println!(
        "{kernel}: first byte on the console after {:.0} ms, first request to a disk after {:.0} ms",
        after_ms("serial_byte"),
        after_ms("block_request")
    );
    what_the_workload_did_is_on_the_bus(&one);
    what_the_disks_did_is_what_the_guest_says(&one, 1);

    let two = ended(output.path(), "two");
    assert!(two.said.contains("guest: up with 2 cpus"), "{}", two.said);
    assert!(
        two.said.ends_with("rondo-vmm: the guest asked for a restart\n"),
        "{}",
        two.said
    );
    assert!(two.recorded.counter("kvm_exits_total", &[("vcpu", "1")]) > 0);
    what_the_disks_did_is_what_the_guest_says(&two, 2);

    let sums = std::fs::read_to_string(output.path().join("disks.md5")).unwrap();
    for (run, files) in [&one, &two].into_iter().zip(DISKS) {
        for (disk, file) in DISKS[0].into_iter().zip(files) {
            let sum = disk_line(&run.said, disk).split_once("sum=").unwrap().1;
            let sum = sum.trim_end_matches("  -");
            assert!(sums.contains(&format!("{sum}  {file}\n")), "{sums}{sum}");
            assert_eq!(sum == untouched, disk == "vdb", "{sum}");
        }
    }
}

fn disk_line<'s>(said: &'s str, disk: &str) -> &'s str {
    let line = said
        .lines()
        .find_map(|line| line.trim().strip_prefix(&format!("guest: disk {disk} ")));
    line.unwrap_or_else(|| panic!("no disk {disk}: {said}"))
}

/// Two that never met count the same: the guest's kernel, and the slab.
fn what_the_disks_did_is_what_the_guest_says(Ended { said, recorded }: &Ended, cpus: u32) {
    assert!(said.contains("guest: disk holds what was written"), "{said}");
    assert!(disk_line(said, "vda").starts_with("ro=0 serial=vda "), "{said}");
    assert!(disk_line(said, "vdb").starts_with("ro=1 serial=vdb "), "{said}");
    for disk in ["vda", "vdb"] {
        let line = said
            .lines()
            .find(|line| line.contains("diskstats") && line.contains(disk));
        let fields: Vec<_> = line.unwrap().split_ascii_whitespace().collect();
        let name = fields.iter().position(|field| *field == disk).unwrap();
        // Linux `Documentation/admin-guide/iostats.rst`, counted from 1.
        let field = |number: usize| fields[name + number].parse::<u64>().unwrap();
        let requests = |op| recorded.counter("blk_requests_total", &[("device", disk), ("op", op)]);
        let bytes =
            |direction| recorded.counter("blk_bytes_total", &[("device", disk), ("direction", direction)]);
        assert_eq!(requests("read"), field(1), "{line:?}");
        assert_eq!(bytes("read"), field(3) * 512, "{line:?}");
        // An empty write that asks for a flush is a write to Linux, which sends the flush alone.
        assert_eq!(requests("write") + requests("flush"), field(5), "{line:?}");
        assert_eq!(bytes("write"), field(7) * 512, "{line:?}");
        assert_eq!(requests("flush"), field(16), "{line:?}");
        assert_eq!(requests("get_id"), 1, "of its serial file");
        let all: u64 = ["read", "write", "flush", "get_id", "other"]
            .map(requests)
            .iter()
            .sum();
        let timed: u64 = ["read", "write", "flush", "get_id", "other"]
            .map(|op| {
                recorded
                    .samples("blk_request_duration_ns", &[("device", disk), ("op", op)])
                    .0
            })
            .iter()
            .sum();
        assert_eq!(timed, all);
        assert_eq!(recorded.samples("blk_queue_depth", &[("device", disk)]).0, all);
    }
    // An interrupt is a read and a write of registers. A ring would be one more write, if it took an exit.
    let exits = |reason| -> u64 {
        let of_vcpu = |vcpu: u32| recorded.exits(&vcpu.to_string(), reason);
        (0..cpus).map(of_vcpu).sum()
    };
    let (reads, writes) = (exits("mmio_read"), exits("mmio_write"));
    println!("{reads} reads and {writes} writes of registers");
    assert!(
        reads.abs_diff(writes) < 64,
        "{reads} reads and {writes} writes of registers"
    );
    let written = recorded.counter("blk_bytes_total", &[("device", "vda"), ("direction", "write")]);
    assert_eq!(written, 64 * 4096);
    assert!(recorded.gauge("boot_first_block_request_ns") > recorded.gauge("boot_first_serial_byte_ns"));
}

fn what_the_workload_did_is_on_the_bus(Ended { said, recorded }: &Ended) {
    assert_eq!(recorded.view.liveness, Liveness::Closed);
    // Each byte on the console is a write to a port, and the driver makes more.
    let vmm_said = "rondo-vmm: the guest powered off\n".len();
    let io_out = recorded.exits("0", "io_out");
    assert!(
        io_out >= (said.len() - vmm_said) as u64,
        "{io_out} for {} bytes",
        said.len()
    );
    let exits: u64 = ExitReason::ALL
        .map(|reason| recorded.exits("0", reason.name()))
        .iter()
        .sum();
    let vcpu = [("vcpu", "0")];
    for duration in ["vcpu_run_duration_ns", "vcpu_exit_duration_ns"] {
        assert_eq!(recorded.samples(duration, &vcpu).0, exits, "{duration}");
    }
    assert!(recorded.gauge("boot_first_exit_ns") <= recorded.gauge("boot_first_serial_byte_ns"));

    // Where a second has no tick, the VMM itself says that it missed one.
    let ticks = recorded.points("vmm_uptime_seconds", &[]);
    let seconds = (ticks.last().unwrap().t - ticks[0].t) / SECOND + 1;
    let missed = recorded.counter("vmm_missed_ticks_total", &[]);
    assert_eq!(seconds - ticks.len() as u64, missed);

    // A burst and an idle phase differ by more than anybody could overlook.
    let points = recorded.points("vcpu_exits_total", &[("vcpu", "0"), ("reason", "io_out")]);
    let per_second = points.windows(2).map(|pair| total(&pair[1]) - total(&pair[0]));
    let (busiest, idle) = per_second
        .skip_while(|exits| *exits < 500)
        .fold((0, u64::MAX), |(busiest, idle), exits| {
            (exits.max(busiest), exits.min(idle))
        });
    assert!(
        busiest >= 20 * idle.max(1),
        "{busiest} and {idle} exits in a second"
    );

    // And the kernel says the same: it slept through most of the idle phase.
    let halted_ns = recorded.counter("kvm_halt_wait_ns_total", &vcpu);
    assert!(halted_ns > (PHASE_SECONDS - 1) * SECOND, "{halted_ns}");
}
