//! JSON lines as VictoriaMetrics' `/api/v1/import` takes them, and `/api/v1/export` gives them:
//! `{"metric":{"__name__":"…",…},"values":[…],"timestamps":[…]}`, in milliseconds.
//!
//! JSON has no infinite numbers; they are the strings that VictoriaMetrics writes for them.

use super::families::Family;
use super::sink::Sink;
use rondo_shm_layout::Labels;
use serde::Serialize;
use serde::ser::{SerializeMap, SerializeSeq, Serializer};
use std::io::{self, Write};

/// Samples of a line: receivers have a limit for its length.
const SAMPLES_MAX: usize = 10_000;

pub(super) struct JsonLines<W> {
    out: W,
}

#[derive(Serialize)]
struct Line<'s> {
    metric: Metric<'s>,
    values: Values<'s>,
    timestamps: Stamps<'s>,
}

struct Metric<'s>(&'s Labels);
struct Values<'s>(&'s [(i64, f64)]);
struct Stamps<'s>(&'s [(i64, f64)]);

impl Serialize for Metric<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for (_, value) in self.0 {
            match *value {
                f64::INFINITY => list.serialize_element("Infinity")?,
                f64::NEG_INFINITY => list.serialize_element("-Infinity")?,
                value => list.serialize_element(&value)?,
            }
        }
        list.end()
    }
}

impl Serialize for Stamps<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|(stamp_ms, _)| stamp_ms))
    }
}

impl<W: Write> JsonLines<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out }
    }
}

impl<W: Write> Sink for JsonLines<W> {
    fn family(&mut self, _: &Family) -> io::Result<()> {
        Ok(())
    }

    fn series(&mut self, labels: &Labels, samples: &[(i64, f64)]) -> io::Result<()> {
        for samples in samples.chunks(SAMPLES_MAX) {
            let line = Line {
                metric: Metric(labels),
                values: Values(samples),
                timestamps: Stamps(samples),
            };
            serde_json::to_writer(&mut self.out, &line)?;
            self.out.write_all(b"\n")?;
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}
