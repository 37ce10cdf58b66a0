//! The series of a slab, each checked against those before it.
//!
//! The tables that a new series is looked up in ([`Checks`]) are several times as large as the series
//! themselves, and of use only while series come. So they are let go between two rounds of
//! admission, and filled again from the series when one more comes, unless that would cost much:
//!
//! - up to [`REFILL_MAX`] series they always go: filling them again takes some 10 µs;
//! - of more series they go only if at least an eighth of all came since they were filled. So whoever registers
//!   series one after the other makes each be looked at a bounded number of times, about eight.

mod checks;

use crate::interner::Interner;
use crate::series::Series;
use checks::Checks;
use rondo_shm_layout::{SeriesInfo, Violation};
use std::sync::Arc;

/// Series of which the tables are filled again whenever one more comes.
const REFILL_MAX: usize = 128;

/// All series admitted so far.
#[derive(Debug)]
pub(crate) struct Catalogue {
    series: Vec<Series>,
    checks: Option<Box<Checks>>,
    /// Series there were when the tables were filled.
    filled_from: usize,
    interner: Arc<Interner<SeriesInfo>>,
}

impl Catalogue {
    /// Without series. They share what they have in common with others of `interner`.
    pub(crate) fn new(interner: Arc<Interner<SeriesInfo>>) -> Self {
        Self {
            series: Vec::new(),
            checks: None,
            filled_from: 0,
            interner,
        }
    }

    pub(crate) fn series(&self) -> &[Series] {
        &self.series
    }

    pub(crate) fn into_series(self) -> Vec<Series> {
        self.series
    }

    /// Takes in a series, unless it breaks a rule together with those before it. Costs a few hash lookups.
    pub(crate) fn admit(&mut self, series: rondo_shm_layout::Series) -> Result<(), Violation> {
        let series = Series::shared(series, &self.interner);
        if self.checks.is_none() {
            let mut checks = Box::<Checks>::default();
            // They broke no rule before.
            self.series.iter().try_for_each(|known| checks.admit(known))?;
            self.filled_from = self.series.len();
            self.checks = Some(checks);
        }
        if let Some(checks) = &mut self.checks {
            checks.admit(&series)?;
        }
        self.series.push(series);
        Ok(())
    }

    /// Gives back what is only of use while series come. Of no effect if none came.
    pub(crate) fn settle(&mut self) {
        let (count, came) = (self.series.len(), self.series.len() - self.filled_from);
        if self.checks.is_some() && (count <= REFILL_MAX || came >= count / 8) {
            self.checks = None;
            self.series.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use super::*;
    use rondo_shm_layout::{Kind, Rule, Series as Read};

    /// A gauge as it is read from a slab.
    fn gauge() -> Read {
        let bus = tempfile::tempdir().unwrap();
        let mut writer = rondo_writer::Writer::builder("vm")
            .bus(bus.path())
            .create()
            .unwrap();
        writer.gauge("gauge").held().unwrap();
        let slab = crate::Slab::open(writer.paths().next().unwrap(), &crate::Limits::default()).unwrap();
        Read {
            info: (*slab.series()[0]).clone(),
            registered_ns: 1,
        }
    }

    /// The `number`th of many unlike series.
    fn another(gauge: &Read, number: u32) -> Read {
        let mut series = gauge.clone();
        series.info.index = number;
        series.info.name = format!("gauge_{number}");
        series.info.column_offset = u64::from(number) * 64;
        series
    }

    /// Letting the tables go must not let anything in.
    #[test]
    fn what_comes_one_by_one_is_checked_against_all_before() {
        let gauge = gauge();
        let mut catalogue = Catalogue::new(Interner::new());
        for number in 0..1_500 {
            let new = another(&gauge, number);
            // Of one that came long ago, and of the last.
            for known in [number / 2, number.saturating_sub(1)].map(|known| another(&gauge, known)) {
                if known.index == number {
                    continue;
                }
                let mut same_column = new.clone();
                same_column.info.column_offset = known.column_offset;
                let mut same_name = new.clone();
                same_name.info.name.clone_from(&known.name);
                let mut other_kind = same_name.clone();
                other_kind.info.kind = Kind::Counter;
                other_kind.info.labels = vec![("vcpu".into(), "1".into())];
                for (broken, rule) in [
                    (same_column, Rule::ColumnShared),
                    (same_name, Rule::SeriesUnique),
                    (other_kind, Rule::SeriesUnique),
                ] {
                    assert_eq!(catalogue.admit(broken).unwrap_err().rule, rule, "{number}");
                    catalogue.settle();
                }
            }
            catalogue.admit(new).unwrap();
            catalogue.settle();
            assert_eq!(catalogue.series().len(), number as usize + 1);
        }
    }

    /// Or a user could make readers busy with a slab that gains a series now and then.
    #[test]
    fn series_one_by_one_cost_a_bounded_number_of_looks_each() {
        let gauge = gauge();
        let mut catalogue = Catalogue::new(Interner::new());
        let (count, mut looks) = (10_000, 0);
        for number in 0..count {
            let before = catalogue.checks.is_some();
            catalogue.admit(another(&gauge, number)).unwrap();
            looks += 1 + if before { 0 } else { catalogue.filled_from };
            catalogue.settle();
        }
        let small = REFILL_MAX * REFILL_MAX / 2;
        assert!(looks - small <= 10 * count as usize, "{looks} looks");
    }

    #[test]
    fn nothing_is_kept_of_the_tables_once_all_series_came() {
        let gauge = gauge();
        for count in [30, 5_000] {
            let mut catalogue = Catalogue::new(Interner::new());
            for number in 0..count {
                catalogue.admit(another(&gauge, number)).unwrap();
            }
            catalogue.settle();
            assert!(catalogue.checks.is_none());
            assert_eq!(catalogue.series.capacity(), count as usize);
        }
    }
}
