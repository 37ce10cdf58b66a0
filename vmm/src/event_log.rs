//! A machine's life as lines of JSON, for whoever started the VMM.
//!
//! A slab says what a machine did; this says, by another way, which rows that slab has to have. So a supervisor can follow
//! its machines without reading a slab, and a test can compare the two.
//!
//! | event | fields |
//! |---|---|
//! | `started` | `incarnation` in hexadecimal digits, `slab`: its path, or null if the bus refused |
//! | `tick` | `ticked_ns`: start of the interval in slab time; `missed_ticks`: intervals without one so far |
//! | `ended` | `why`, `exit_code`, `missed_ticks`, `lost_events`: lines that the file did not take |
//!
//! A line is one write that never waits: the event loop waits for nobody. A pipe that is full loses it, and the last
//! line says how many were lost. A machine that is killed has no last line.

use crate::ending::Ending;
use crate::error::Error;
use nix::libc::O_NONBLOCK;
use rondo_writer::Writer;
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Where the lines go.
#[derive(Debug)]
pub struct EventLog {
    file: File,
    /// Of the last tick.
    ticked_ns: u64,
    lost_events: u64,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event<'a> {
    Started {
        incarnation: String,
        slab: Option<&'a Path>,
    },
    Tick {
        ticked_ns: u64,
        missed_ticks: u64,
    },
    Ended {
        why: String,
        exit_code: u8,
        missed_ticks: u64,
        lost_events: u64,
    },
}

impl EventLog {
    /// Appends to a file, which is made if it is not there, or to a pipe that somebody reads.
    ///
    /// # Errors
    /// [`Error::Events`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let mut options = OpenOptions::new();
        options.append(true).create(true).custom_flags(O_NONBLOCK);
        let file = options.open(path).map_err(|source| Error::Events {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            file,
            ticked_ns: 0,
            lost_events: 0,
        })
    }

    /// The guest is about to run.
    pub fn started(&mut self, writer: &Writer) {
        let digits = writer.incarnation().map(|byte| format!("{byte:02x}"));
        self.write(&Event::Started {
            incarnation: digits.concat(),
            slab: writer.paths().next(),
        });
    }

    /// The slab has moved on to the interval that starts at `ticked_ns`. Not said again of an interval that the log has: a short
    /// last one may fall into the one before.
    pub fn tick(&mut self, ticked_ns: u64, missed_ticks: u64) {
        if ticked_ns == std::mem::replace(&mut self.ticked_ns, ticked_ns) {
            return;
        }
        self.write(&Event::Tick {
            ticked_ns,
            missed_ticks,
        });
    }

    /// The guest runs no more.
    pub fn ended(&mut self, ending: &Ending, missed_ticks: u64) {
        self.write(&Event::Ended {
            why: ending.to_string(),
            exit_code: ending.exit_code(),
            missed_ticks,
            lost_events: self.lost_events,
        });
    }

    fn write(&mut self, event: &Event<'_>) {
        let line = serde_json::to_vec(event).map(|mut line| {
            line.push(b'\n');
            line
        });
        // In one write, which a pipe takes whole or not at all.
        let is_written =
            line.is_ok_and(|line| self.file.write(&line).is_ok_and(|length| length == line.len()));
        self.lost_events += u64::from(!is_written);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &Path) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn a_machine_without_a_bus_has_a_life_all_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events");
        let writer = Writer::builder("vm-1").create_private().unwrap();
        let mut log = EventLog::open(&path).unwrap();
        log.started(&writer);
        log.tick(7_000_000_000, 2);
        log.ended(&Ending::TripleFault { vcpu: 0 }, 2);
        let [started, tick, ended] = &lines(&path)[..] else {
            panic!("three lines");
        };
        assert_eq!(started["event"], "started");
        assert_eq!(started["incarnation"].as_str().unwrap().len(), 32);
        assert!(started["slab"].is_null());
        assert_eq!(
            (&tick["ticked_ns"], &tick["missed_ticks"]),
            (&7_000_000_000_u64.into(), &2.into())
        );
        assert_eq!(
            (&ended["exit_code"], &ended["lost_events"]),
            (&1.into(), &0.into())
        );
    }

    /// An event loop that waited for whoever reads its events would be held up by them.
    #[test]
    fn a_pipe_that_nobody_empties_loses_lines_and_the_log_counts_them() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let nobody = EventLog::open(&path).unwrap_err();
        assert!(nobody.to_string().contains("pipe that is being read"), "{nobody}");

        let _reader = OpenOptions::new()
            .read(true)
            .custom_flags(O_NONBLOCK)
            .open(&path)
            .unwrap();
        let mut log = EventLog::open(&path).unwrap();
        for second in 0..10_000 {
            log.tick(second, 0);
        }
        assert!((1..10_000).contains(&log.lost_events), "{}", log.lost_events);
    }
}
