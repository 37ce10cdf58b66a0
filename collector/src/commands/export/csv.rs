//! CSV with a row for each sample, which data frames and SQL engines read as it is.
//!
//! Labels are one column of JSON, so that exports of different series have the same columns and can be put together;
//! in SQL a label is then `labels->>'vcpu'`.

use super::families::Family;
use super::sink::Sink;
use crate::exposition::number;
use ::csv::{Error, ErrorKind, Writer};
use jiff::Timestamp;
use rondo_shm_layout::Labels;
use std::collections::BTreeMap;
use std::io::{self, Write};

pub(super) struct Csv<W: Write> {
    out: Writer<W>,
}

impl<W: Write> Csv<W> {
    pub(super) fn new(out: W) -> io::Result<Self> {
        let mut out = Writer::from_writer(out);
        out.write_record(["time", "name", "instance", "labels", "value"])
            .map_err(plain)?;
        Ok(Self { out })
    }
}

impl<W: Write> Sink for Csv<W> {
    fn family(&mut self, _: &Family) -> io::Result<()> {
        Ok(())
    }

    fn series(&mut self, labels: &Labels, samples: &[(i64, f64)]) -> io::Result<()> {
        let mut others: BTreeMap<&str, &str> = labels
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let name = others.remove("__name__").unwrap_or_default();
        let instance = others.remove("instance").unwrap_or_default();
        let others = serde_json::to_string(&others)?;
        for &(stamp_ms, value) in samples {
            // The plain number where no calendar reaches.
            let time = Timestamp::from_millisecond(stamp_ms)
                .map_or_else(|_| stamp_ms.to_string(), |time| format!("{time:.3}"));
            // Readers agree on `inf` alone.
            let value = if value.is_infinite() {
                value.to_string()
            } else {
                number(value)
            };
            let record = [time.as_str(), name, instance, &others, &value];
            self.out.write_record(record).map_err(plain)?;
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn plain(error: Error) -> io::Error {
    match error.into_kind() {
        ErrorKind::Io(error) => error,
        kind => io::Error::other(format!("{kind:?}")),
    }
}
