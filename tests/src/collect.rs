//! `rondo collect` as a process.

use crate::wait::PATIENCE;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

/// A collector that is killed when dropped.
pub struct Collect {
    child: Child,
    log: BufReader<ChildStderr>,
}

impl Collect {
    /// Starts `binary` over a bus and a store of 16 MiB.
    pub fn start(binary: &str, bus: &Path, store: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(binary);
        command.arg("collect").arg("--bus").arg(bus);
        command.arg("--store").arg(store);
        command.args(["--store-budget", "16MiB"]).args(arguments);
        for variable in ["RONDO_CONFIG", "RONDO_LOG", "NOTIFY_SOCKET"] {
            command.env_remove(variable);
        }
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        Self { child, log }
    }

    /// The next line of its log.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.log.read_line(&mut line).unwrap();
        line
    }

    /// What follows a text in its log.
    fn wait_to_hear(&mut self, text: &str) -> String {
        loop {
            let line = self.line();
            assert_ne!(line, "", "it ended");
            if let Some((_, after)) = line.split_once(text) {
                return after.trim().to_owned();
            }
        }
    }

    /// Returns when it collects.
    pub fn wait_until_it_collects(&mut self) {
        self.wait_to_hear("collecting from");
    }

    /// Where it answers, if it was told to listen.
    pub fn wait_until_it_answers(&mut self) -> SocketAddr {
        self.wait_to_hear("answering on ").parse().unwrap()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub fn send(&self, signal: Signal) {
        kill(Pid::from_raw(self.id().cast_signed()), signal).unwrap();
    }

    /// Waits for its end, and returns its exit code; none if it was killed.
    pub fn end(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Lets it store what is complete, and waits for its end.
    pub fn stop(&mut self) {
        self.send(Signal::SIGTERM);
        assert_eq!(self.end(), Some(0));
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Collect {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
