//! The VMM that runs the demo's machines.
//!
//! Guests are toys of some hundred bytes unless Linux is asked for: they run on every /dev/kvm, also on one that
//! emulates the processor, need no kernel to be fetched, and work from their first second on. Linux in its place would
//! spend the first seconds of each machine on booting, and one that cannot boot at all would look like a demo that hangs.

use super::child;
use super::event::Event;
use anyhow::{Context, bail, ensure};
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Its file, beside this program.
const PROGRAM: &str = "rondo-vmm";

/// Where a VMM writes its events: the pipe from it. Not /dev/stderr, which a small system does not have.
const STANDARD_ERROR: &str = "/proc/self/fd/2";

/// The toy guest's shortest life, and when to give it up.
const BRIEF: [&str; 11] = [
    "--toy",
    "--toy-rounds",
    "1",
    "--toy-burst",
    "1",
    "--toy-disk",
    "1",
    "--toy-idle",
    "1",
    "--seconds",
    "5",
];

/// Of each machine's disk.
const DISK_BYTES: u64 = 16 << 20;

/// What the workload of `vmm/guest/init` is told: phases that can be told apart, until the VMM is told to end.
const LINUX_COMMAND_LINE: &str = "console=ttyS0 quiet panic=-1 pci=off rounds=1000000 phase=3 disk_phase=3";

/// A VMM that has run a guest here.
pub(super) struct Vmm {
    program: PathBuf,
    /// Where `vmlinuz` and `initramfs` are.
    linux: Option<PathBuf>,
    /// The machines' disks, which go with the demo.
    disks: TempDir,
}

impl Vmm {
    /// Finds the VMM, and sees whether it runs a guest.
    ///
    /// # Errors
    /// Why there can be no VMs.
    pub(super) fn try_out(program: Option<&Path>, linux: Option<&Path>) -> anyhow::Result<Self> {
        let program = match program {
            Some(program) => program.to_owned(),
            None => std::env::current_exe()
                .context("cannot find this program")?
                .with_file_name(PROGRAM),
        };
        ensure!(
            program.is_file(),
            "there is no {}; build it (`cargo build --release -p rondo-vmm`), or name it with --vmm",
            program.display()
        );
        for file in linux.into_iter().flat_map(linux_files) {
            ensure!(
                file.is_file(),
                "there is no {}; make it (`vmm/guest/build.sh DIRECTORY`)",
                file.display()
            );
        }
        let disks = tempfile::Builder::new().prefix("rondo-demo-").tempdir();
        let this = Self {
            program,
            linux: linux.map(Path::to_owned),
            disks: disks.context("cannot make a directory for disks")?,
        };
        this.run_briefly()?;
        Ok(this)
    }

    /// Whatever keeps guests from running, this meets it: no KVM, no permission, no memory, no seccomp.
    fn run_briefly(&self) -> anyhow::Result<()> {
        let mut command = Command::new(&self.program);
        command.args(BRIEF).args(["--instance", "demo-trial", "--bus"]);
        command.arg(self.disks.path()).args(["--events", STANDARD_ERROR]);
        let ended = command
            .output()
            .with_context(|| format!("cannot run {}", self.program.display()))?;
        let said = String::from_utf8_lossy(&ended.stderr);
        let end = said.lines().rev().find_map(Event::parse);
        match end {
            Some(Event::Ended { why, .. }) if ended.status.success() => {
                ensure!(
                    why == "the guest powered off",
                    "KVM does not run guests here; a toy guest did not come to its end: {why}"
                );
                Ok(())
            }
            _ => {
                let why = said.lines().find(|line| Event::parse(line).is_none());
                let why = why.map(str::to_owned).unwrap_or_else(|| ended.status.to_string());
                bail!("{}", why.trim_start_matches("rondo-vmm: "))
            }
        }
    }

    /// What starts a machine that runs until it is told to end.
    pub(super) fn command(&self, bus: &Path, instance: &str) -> anyhow::Result<Command> {
        let disk = self.disks.path().join(instance);
        let made = File::create(&disk).and_then(|file| file.set_len(DISK_BYTES));
        made.with_context(|| format!("cannot make the disk {}", disk.display()))?;
        let mut command = child::command(&self.program)?;
        command.args(["--events", STANDARD_ERROR, "--instance", instance, "--bus"]);
        command.arg(bus).arg("--disk").arg(disk);
        match self.linux.as_deref().map(linux_files) {
            Some([kernel, initramfs]) => {
                command
                    .arg("--kernel")
                    .arg(kernel)
                    .arg("--initramfs")
                    .arg(initramfs);
                command.args(["--cmdline", LINUX_COMMAND_LINE]);
                // Only this guest has something to say.
                command.stdout(Stdio::piped());
            }
            None => {
                command.args(["--toy", "--memory", "16"]);
                command.stdout(Stdio::null());
            }
        }
        Ok(command)
    }
}

fn linux_files(directory: &Path) -> [PathBuf; 2] {
    ["vmlinuz", "initramfs"].map(|file| directory.join(file))
}

impl fmt::Display for Vmm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let guest = match &self.linux {
            Some(linux) => format!("Linux of {}", linux.display()),
            None => "toy guests".to_owned(),
        };
        write!(f, "{guest}, run by {}", self.program.display())
    }
}
