//! JSON lines as VictoriaMetrics' `/api/v1/import` takes them, and `/api/v1/export` gives them:
//! `{"metric":{"__name__":"…",…},"values":[…],"timestamps":[…]}`, in milliseconds.
//!
//! JSON has no word for infinite numbers. They are `1e999`, which is JSON, and infinite to whoever reads it as a float: all
//! versions of VictoriaMetrics, Python, JavaScript. (Only newer ones of the first take the word "Infinity".)

use super::families::Family;
use super::sink::Sink;
use crate::exposition::number;
use rondo_shm_layout::Labels;
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Samples of a line: receivers have a limit for its length.
const SAMPLES_MAX: usize = 10_000;

pub(super) struct JsonLines<W> {
    out: W,
}

impl<W: Write> JsonLines<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out }
    }

    fn list(
        &mut self,
        samples: &[(i64, f64)],
        shown: impl Fn(&(i64, f64)) -> String,
        end: &str,
    ) -> io::Result<()> {
        for (index, sample) in samples.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(self.out, "{comma}{}", shown(sample))?;
        }
        self.out.write_all(end.as_bytes())
    }
}

impl<W: Write> Sink for JsonLines<W> {
    fn family(&mut self, _: &Family) -> io::Result<()> {
        Ok(())
    }

    fn series(&mut self, labels: &Labels, samples: &[(i64, f64)]) -> io::Result<()> {
        let metric: BTreeMap<&str, &str> = labels
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let metric = serde_json::to_string(&metric)?;
        for samples in samples.chunks(SAMPLES_MAX) {
            write!(self.out, "{{\"metric\":{metric},\"values\":[")?;
            let value = |&(_, value): &(i64, f64)| match value {
                f64::INFINITY => "1e999".to_owned(),
                f64::NEG_INFINITY => "-1e999".to_owned(),
                value => number(value),
            };
            self.list(samples, value, "],\"timestamps\":[")?;
            self.list(samples, |(stamp_ms, _)| stamp_ms.to_string(), "]}\n")?;
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}
