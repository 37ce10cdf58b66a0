//! What a machine is: the VMM with its toy guest where KVM runs one, otherwise a process that records what a VMM would.

use anyhow::{Context, Result, ensure};
use rondo_tests::bound::bound;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Of what the machines of a run are made.
#[derive(Debug, Clone)]
pub enum Kind {
    /// This VMM, which has run a guest here.
    Vmm(PathBuf),
    /// This program, since there can be no guests.
    WithoutGuest {
        /// `bench-guestless`.
        program: PathBuf,
        /// Why there are none.
        why: String,
    },
}

/// The least of a machine.
const TOY: [&str; 3] = ["--toy", "--memory", "2"];

/// Phases of about a second in all: a burst of exits, some of another kind, and idleness, so that some dozens of guests leave the
/// host's processors to the rest. A total that grows so steadily is also what `increase()` extrapolates best.
const PHASES: [&str; 6] = ["--toy-burst", "40", "--toy-disk", "20", "--toy-idle", "90"];

/// A guest that ends by itself within a second, and when to give it up.
const TRIAL: [&str; 4] = ["--toy-rounds", "1", "--seconds", "20"];

impl Kind {
    /// The VMM, if it comes to the end of a guest.
    ///
    /// # Errors
    /// There is no VMM: that is no reason to measure something else.
    pub fn choose(vmm: PathBuf, guestless: PathBuf) -> Result<Self> {
        ensure!(
            vmm.is_file(),
            "{} is missing; build it with `cargo build --release -p rondo-vmm`, or ask for --without-guests",
            vmm.display()
        );
        Ok(match try_out(&vmm) {
            Ok(()) => Self::Vmm(vmm),
            Err(why) => Self::WithoutGuest {
                program: guestless,
                why: format!("{why:#}"),
            },
        })
    }

    /// For people.
    pub fn in_words(&self) -> String {
        match self {
            Self::Vmm(_) => "each machine is a `rondo-vmm` process with the toy guest on KVM".to_owned(),
            Self::WithoutGuest { why, .. } => {
                format!(
                    "**the machines are processes that record what a VMM would, without guests**, because: {why}"
                )
            }
        }
    }

    /// Starts a machine that says on standard error what becomes of it, and that goes also if this process is killed.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&self, bus: &Path, instance: &str, life_s: u64) -> Result<Child> {
        let (program, arguments) = match self {
            Self::Vmm(vmm) => (vmm, [TOY.as_slice(), &PHASES].concat()),
            Self::WithoutGuest { program, .. } => (program, Vec::new()),
        };
        let mut command = bound(program);
        command.args(arguments).args(["--instance", instance, "--bus"]);
        command.arg(bus).args(["--seconds", &life_s.to_string()]);
        command.args(["--events", "/dev/stderr"]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let child = command.spawn();
        child.with_context(|| format!("cannot start {} (with setpriv, of util-linux)", program.display()))
    }
}

/// Whatever keeps guests from running, this meets it: no KVM, no permission, no memory, no seccomp.
fn try_out(vmm: &Path) -> Result<()> {
    let bus = tempfile::tempdir()?;
    let mut command = Command::new(vmm);
    command.args(TOY).args(PHASES).args(TRIAL);
    let output = command.arg("--bus").arg(bus.path()).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot run {}", vmm.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let is_well = output.status.success() && said.contains("the guest powered off");
    ensure!(is_well, "{}", said.trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vmm_that_runs_no_guest_is_replaced_and_its_reason_said() {
        let kind = Kind::choose("/bin/false".into(), "guestless".into()).unwrap();
        assert!(matches!(&kind, Kind::WithoutGuest { program, .. } if program == Path::new("guestless")));
        assert!(kind.in_words().contains("without guests"), "{}", kind.in_words());
        assert!(Kind::choose("/nonexistent/rondo-vmm".into(), "guestless".into()).is_err());
    }
}
