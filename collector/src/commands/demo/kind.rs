//! What the demo's machines are: VMs where a VMM can run here, otherwise processes that measure themselves.

use super::child;
use super::vmm::Vmm;
use crate::commands::cli::{Demo, MachinesAs};
use anyhow::{Context, bail};
use std::path::Path;
use std::process::{Command, Stdio};

/// What they are.
pub(super) enum Kind {
    /// VMs, run by a VMM that was tried.
    Vms(Vmm),
    /// Processes of this program, for a reason.
    Processes(String),
}

impl Kind {
    /// What was asked for, or what is possible.
    ///
    /// # Errors
    /// VMs were asked for, and cannot run.
    pub(super) fn choose(args: &Demo) -> anyhow::Result<Self> {
        let must_be_vms = args.machines_as == MachinesAs::Vmm || args.linux.is_some();
        if args.machines_as == MachinesAs::Process {
            if args.linux.is_some() {
                bail!("processes have no guest: leave out --linux or --machines-as process");
            }
            return Ok(Self::Processes("as asked".to_owned()));
        }
        match Vmm::try_out(args.vmm.as_deref(), args.linux.as_deref()) {
            Ok(vmm) => Ok(Self::Vms(vmm)),
            Err(error) if must_be_vms => Err(error)
                .context("the machines cannot be VMs (without --machines-as and --linux they are processes)"),
            Err(error) => Ok(Self::Processes(format!("{error:#}"))),
        }
    }

    /// As `--machines-as` calls it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Vms(_) => "vmm",
            Self::Processes(_) => "process",
        }
    }

    /// For people, in one line.
    pub(super) fn in_words(&self) -> String {
        match self {
            Self::Vms(vmm) => format!("the machines are VMs: {vmm}"),
            Self::Processes(why) => {
                format!("the machines are processes that measure themselves, not VMs: {why}")
            }
        }
    }

    /// What starts one that records for `seconds` ticks, or for ever.
    pub(super) fn command(&self, bus: &Path, instance: &str, seconds: u64) -> anyhow::Result<Command> {
        match self {
            Self::Vms(vmm) => vmm.command(bus, instance),
            Self::Processes(_) => {
                let mut command = child::this_program()?;
                command.arg("demo-machine").arg("--bus").arg(bus);
                command.args(["--instance", instance, "--seconds", &seconds.to_string()]);
                command.stdout(Stdio::null());
                Ok(command)
            }
        }
    }
}
