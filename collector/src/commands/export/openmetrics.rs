//! OpenMetrics 1.0 with timestamps, as `promtool tsdb create-blocks-from openmetrics` reads it.
//!
//! Samples of one series stand together, in order of time. That of a histogram's buckets differs from the specification, which
//! wants all buckets of one time together; promtool takes either, and so every series can be written as it is read.

use super::families::Family;
use super::sink::Sink;
use crate::exposition::{FamilyKind, Format, escape_into, number, write_head};
use rondo_shm_layout::Labels;
use std::collections::HashSet;
use std::io::{self, Write};

pub(super) struct OpenMetrics<W> {
    out: W,
    /// Of all families, to tell which have the name that a counter would have without its `_total`.
    names: HashSet<String>,
}

impl<W: Write> OpenMetrics<W> {
    pub(super) fn new(out: W, names: HashSet<String>) -> Self {
        Self { out, names }
    }
}

impl<W: Write> Sink for OpenMetrics<W> {
    fn family(&mut self, family: &Family) -> io::Result<()> {
        let stem = family.name.strip_suffix("_total").unwrap_or(&family.name);
        let (name, kind) = match family.kind {
            Some(FamilyKind::Counter) if self.names.contains(stem) => (family.name.as_str(), "unknown"),
            Some(FamilyKind::Counter) => (stem, "counter"),
            Some(kind) => (family.name.as_str(), kind.as_str()),
            None => (family.name.as_str(), "unknown"),
        };
        let mut head = String::new();
        write_head(
            &mut head,
            name,
            kind,
            &family.unit,
            &family.help,
            Format::OpenMetrics,
        );
        self.out.write_all(head.as_bytes())
    }

    fn series(&mut self, labels: &Labels, samples: &[(i64, f64)]) -> io::Result<()> {
        let mut series = String::new();
        let name = labels.iter().find(|(name, _)| name == "__name__");
        series.push_str(name.map_or("", |(_, name)| name));
        let mut separator = '{';
        for (name, value) in labels.iter().filter(|(name, _)| name != "__name__") {
            series.push(separator);
            series.push_str(name);
            series.push_str("=\"");
            escape_into(&mut series, value, true);
            series.push('"');
            separator = ',';
        }
        if separator == ',' {
            series.push('}');
        }
        for &(stamp_ms, value) in samples {
            let (sign, ms) = (if stamp_ms < 0 { "-" } else { "" }, stamp_ms.unsigned_abs());
            let (seconds, ms) = (ms / 1_000, ms % 1_000);
            writeln!(self.out, "{series} {} {sign}{seconds}.{ms:03}", number(value))?;
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.write_all(b"# EOF\n")
    }
}
