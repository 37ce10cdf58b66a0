//! What the series of one slab add to the totals of the host.

use super::gather::Carry;
use crate::exposition::{HostPlace, HostTotals};
use rondo_reader::Series;

/// The part of some series of one slab.
#[derive(Debug, Default)]
pub(crate) struct HostShare {
    series: Vec<Share>,
}

#[derive(Debug)]
struct Share {
    place: Option<HostPlace>,
    /// What the totals have of it already; of a gauge its newest value. `Unread` before the first.
    counted: Carry,
}

impl HostShare {
    /// Takes in what `series` came to, as `newest` has it. Of a machine that is older than the collector (`is_old`), what
    /// it counted before is not growth.
    pub(crate) fn update(
        &mut self,
        series: &[Series],
        newest: &[Carry],
        is_old: bool,
        totals: &mut HostTotals,
    ) {
        let known = self.series.len();
        self.series.extend(series.iter().skip(known).map(|series| Share {
            place: totals.place(series),
            counted: Carry::Unread,
        }));
        for (share, &newest) in self.series.iter_mut().zip(newest) {
            let Some(place) = share.place else { continue };
            let is_first = share.counted == Carry::Unread;
            match (newest, share.counted) {
                (Carry::Unread | Carry::Unknown, _) => continue,
                (Carry::Gauge(_), _) => {}
                _ if is_first && is_old => {}
                (Carry::Counter(total), Carry::Counter(before)) => {
                    totals.counter_grew(place, total.wrapping_sub(before));
                }
                (Carry::Counter(total), _) => totals.counter_grew(place, total),
                (
                    Carry::Distribution { count, sum },
                    Carry::Distribution {
                        count: before,
                        sum: sum_before,
                    },
                ) => {
                    totals.samples_came(place, count.wrapping_sub(before), sum - sum_before);
                }
                (Carry::Distribution { count, sum }, _) => totals.samples_came(place, count, sum),
            }
            share.counted = newest;
        }
    }

    /// Tells the newest value of each gauge.
    pub(crate) fn tell_gauges(&self, totals: &mut HostTotals) {
        for share in &self.series {
            if let (Some(place), Carry::Gauge(value)) = (share.place, share.counted) {
                totals.gauge(place, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::{Format, Page};
    use rondo_reader::{Limits, Slab};
    use rondo_writer::Writer;

    fn page(totals: &HostTotals) -> String {
        Page::from(totals.families()).write(Format::Text)
    }

    #[test]
    fn growth_counts_once_and_an_old_machine_begins_at_what_it_has() {
        let bus = tempfile::tempdir_in("/dev/shm").unwrap();
        let mut writer = Writer::builder("vm").bus(bus.path()).create().unwrap();
        let _counter = writer.counter("exits_total").owned().unwrap();
        let _gauge = writer.gauge("queue_depth").owned().unwrap();
        let slab = Slab::open(writer.paths().next().unwrap(), &Limits::default()).unwrap();
        let mut totals = HostTotals::default();
        let (mut young, mut old) = (HostShare::default(), HostShare::default());
        for total in [5, 7, 7] {
            let newest = [Carry::Counter(total), Carry::Gauge(total as f64)];
            young.update(slab.series(), &newest, false, &mut totals);
            old.update(slab.series(), &newest, true, &mut totals);
        }
        young.tell_gauges(&mut totals);
        old.tell_gauges(&mut totals);
        let text = page(&totals);
        assert!(text.contains("\nrondo_host_exits_total 9\n"), "{text}");
        assert!(text.contains("\nrondo_host_queue_depth 14\n"), "{text}");
        assert!(text.contains("\nrondo_host_queue_depth_max 7\n"), "{text}");
    }
}
