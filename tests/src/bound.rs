//! Processes that do not outlive whoever started them.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// A command that the kernel kills when the thread that starts it ends, however that comes. `setpriv` sees to that and then becomes
/// the program, so that the process is the program's own. A Ctrl-C in the terminal is not for it, but for whoever started it.
pub fn bound(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command.process_group(0);
    command
}

/// What a command runs, for messages.
pub fn program(command: &Command) -> String {
    let bound = command.get_args().nth(3);
    let program = bound.filter(|_| command.get_program() == "setpriv");
    let program = program.unwrap_or(command.get_program());
    program.to_string_lossy().into_owned()
}
