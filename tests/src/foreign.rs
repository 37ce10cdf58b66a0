//! The readers in other languages, and the parser of diagrams: where they are, how they are run, or why they cannot be.

use serde_json::Value;
use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::LazyLock;

/// What a reader printed, or why there is no such reader on this machine.
pub type Answer = Result<Value, String>;

/// The workspace.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ is in the workspace")
}

/// Where `tests/foreign.sh` puts what it fetches.
fn fetched() -> PathBuf {
    std::env::var_os("RONDO_FOREIGN").map_or_else(|| root().join("target/foreign"), PathBuf::from)
}

/// What mermaid has to say of each diagram; nothing where it parses. Err where it is not there.
pub fn wrong_diagrams(diagrams: &[&str]) -> Result<Vec<Option<String>>, String> {
    let modules = fetched().join("mermaid/node_modules");
    if !modules.join("mermaid").exists() {
        return Err("mermaid is not there; run tests/foreign.sh".into());
    }
    let mut node = Command::new("node");
    node.arg(root().join("tests/mermaid/check.mjs")).arg(modules);
    node.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut node = node.spawn().map_err(|error| format!("no node: {error}"))?;
    let asked = serde_json::to_vec(diagrams).expect("texts are JSON");
    let mut stdin = node.stdin.take().expect("it is a pipe");
    stdin.write_all(&asked).expect("node takes it");
    drop(stdin);
    let output = node.wait_with_output().expect("node ends");
    assert!(output.status.success(), "{}", output.status);
    Ok(serde_json::from_slice(&output.stdout).expect("an array"))
}

/// A program of spec/c by its name, compiled once in each test process; Err without a C compiler.
pub fn c_program(name: &str) -> Result<PathBuf, String> {
    static COMPILED: LazyLock<Result<tempfile::TempDir, String>> = LazyLock::new(|| {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for name in ["slab_json", "slab_watch"] {
            let mut compiler = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
            compiler.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-O2", "-o"]);
            compiler
                .arg(directory.path().join(name))
                .arg(root().join(format!("spec/c/{name}.c")));
            let output = compiler
                .output()
                .map_err(|error| format!("no C compiler: {error}"))?;
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(directory)
    });
    COMPILED
        .as_ref()
        .map(|directory| directory.path().join(name))
        .map_err(String::clone)
}

/// The Python reader of slabs, as a command that lacks its arguments.
pub fn python_reader() -> Result<Command, String> {
    python("rondo_slab.py")
}

/// A program of spec/python.
fn python(program: &str) -> Result<Command, String> {
    let version = Command::new("python3")
        .args(["-c", "import sys; sys.exit(sys.version_info < (3, 11))"])
        .status();
    if !version.is_ok_and(|status| status.success()) {
        return Err("no python3 of 3.11 or later".into());
    }
    let mut command = Command::new("python3");
    // -B: leaves no compiled copies in the source tree.
    command.arg("-B").arg(root().join("spec/python").join(program));
    Ok(command)
}

/// The JSON of a slab from the C reader.
pub fn json_by_c(slab: &Path) -> Answer {
    Ok(run(Command::new(c_program("slab_json")?).arg(slab)))
}

/// The JSON of a slab from the Python reader.
pub fn json_by_python(slab: &Path) -> Answer {
    Ok(run(python_reader()?.args([OsStr::new("json"), slab.as_os_str()])))
}

/// The JSON of a store from the Python reader.
pub fn store_json_by_python(store: &Path) -> Answer {
    Ok(run(
        python("rondo_store.py")?.args([OsStr::new("json"), store.as_os_str()])
    ))
}

/// The JSON of a slab from the parser that Kaitai Struct makes of spec/slab.ksy.
pub fn json_by_kaitai(slab: &Path) -> Answer {
    let (python, parser) = (fetched().join("venv/bin/python"), fetched().join("parser"));
    if !python.exists() || !parser.join("rondo_slab.py").exists() {
        return Err("the Kaitai Struct compiler is not there; run tests/foreign.sh".into());
    }
    let script = root().join("spec/kaitai/slab_json.py");
    Ok(run(Command::new(python)
        .arg("-B")
        .arg(script)
        .arg(slab)
        .env("PYTHONPATH", parser)))
}

/// The JSON of a slab from `rondo query`: the binary that `RONDO_BIN` names, or the one that cargo
/// builds beside this test.
pub fn json_by_rondo(slab: &Path) -> Answer {
    static RONDO: LazyLock<PathBuf> = LazyLock::new(|| {
        if let Some(named) = std::env::var_os("RONDO_BIN") {
            return named.into();
        }
        // target/PROFILE/deps/this-test
        let test = std::env::current_exe().expect("this test's path");
        let directory = test.ancestors().nth(2).expect("the profile's directory");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(root()).args([
            "build",
            "--quiet",
            "--bin",
            "rondo",
            "--package",
            "rondo-collector",
        ]);
        cargo
            .arg("--target-dir")
            .arg(directory.parent().expect("the target directory"));
        if directory.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(
            cargo.status().expect("cargo runs").success(),
            "rondo does not compile"
        );
        directory.join("rondo")
    });
    let query = [OsStr::new("query"), slab.as_os_str()];
    let options = ["{}", "--range", "all", "-o", "json"];
    let (answer, status) = answer_of(Command::new(&*RONDO).args(query).args(options));
    // As grep does, it fails where nothing matches; the answer is right all the same.
    let is_empty = answer["series"] == Value::Array(Vec::new());
    assert_eq!(status.success(), !is_empty, "{}", slab.display());
    Ok(answer)
}

/// What a command that succeeds prints as JSON.
fn run(command: &mut Command) -> Value {
    let (answer, status) = answer_of(command);
    assert!(status.success(), "{command:?}: {status}");
    answer
}

fn answer_of(command: &mut Command) -> (Value, ExitStatus) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let answer = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        let complaint = String::from_utf8_lossy(&output.stderr);
        panic!("{command:?} printed no JSON: {error}: {complaint}")
    });
    (answer, output.status)
}
