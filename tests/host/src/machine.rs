//! The machine on which something was measured, in a sentence for a page.

use anyhow::Result;
use jiff::Zoned;
use procfs::{CpuInfo, Current, Meminfo};
use std::process::Command;

/// Cores, processor, memory, kernel, compiler, today's date, and the revision of the sources in the working directory.
///
/// # Errors
/// The kernel does not say.
pub fn description() -> Result<String> {
    let processors = CpuInfo::current()?;
    let model = processors.model_name(0).unwrap_or("an unknown processor");
    // Hypervisors call processors of several generations the same.
    let field = |name| processors.get_field(0, name).unwrap_or("?");
    let (family, number) = (field("cpu family"), field("model"));
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    // What a builder of kernels adds after the version is of no interest.
    let release = release.trim().split('-').next().unwrap_or_default();
    Ok(format!(
        "{} cores of {model} (family {family}, model {number}), {:.0} GiB, Linux {release}, {}, {}, {}",
        processors.num_cores(),
        Meminfo::current()?.mem_total as f64 / f64::from(1 << 30),
        compiler(),
        Zoned::now().date(),
        revision(),
    ))
}

/// Such as `Rust 1.95.0`: of the compiler that is called here, which is the one that built this if `make` did.
fn compiler() -> String {
    let said = said("rustc", &["--version"]).unwrap_or_default();
    format!(
        "Rust {}",
        said.split(' ').nth(1).unwrap_or("of an unknown version")
    )
}

/// Such as `revision 0123456789ab`, with what was changed since and not committed; pages and plots aside, which the benchmarks
/// write themselves.
fn revision() -> String {
    let Some(commit) = said("git", &["rev-parse", "--short=12", "HEAD"]) else {
        return "an unknown revision".to_owned();
    };
    let changed = [
        "status",
        "--porcelain",
        "--untracked-files=no",
        "--",
        ":/",
        ":(top,exclude)docs",
    ];
    match said("git", &changed) {
        Some(files) if files.is_empty() => format!("revision {commit}"),
        _ => format!("revision {commit} with changes"),
    }
}

/// What a program prints, if it ends well.
fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// The version that a program of Debian's says it has, such as `2.42.0`; an empty text if it says none.
pub fn version(program: &str) -> String {
    // Which of the two a program uses differs between them.
    let output = Command::new(program).arg("--version").output();
    let said = output.map(|output| [output.stdout, output.stderr].concat());
    version_in(&String::from_utf8_lossy(&said.unwrap_or_default()))
}

/// `prometheus, version 2.42.0+ds (branch: …)`.
fn version_in(said: &str) -> String {
    let version = said.split_once("version ").map_or("", |(_, rest)| rest);
    let end = version.find(|c: char| !c.is_ascii_digit() && c != '.');
    version[..end.unwrap_or(version.len())].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_its_numbers() {
        let said = "node_exporter, version 1.5.0 (branch: debian/sid)\n  build user: x";
        assert_eq!(version_in(said), "1.5.0");
        assert_eq!(version_in("prometheus, version 2.42.0+ds (branch"), "2.42.0");
        assert_eq!(version_in("no idea"), "");
        assert_eq!(version("/nowhere/at/all"), "");
    }

    #[test]
    fn the_machine_has_cores_a_kernel_and_a_compiler() {
        let said = description().unwrap();
        assert!(
            said.contains(" cores of ") && said.contains("GiB, Linux ") && said.contains(", Rust 1."),
            "{said}"
        );
    }
}
