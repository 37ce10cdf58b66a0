//! A series in one line of text: a title, a bar for each second, and what the highest bar stands for.
//!
//! Which series of a machine are worth that is a list: a [`Wanted`] each.

use crate::query::SeriesAnswer;
use rondo_reader::{Kind, Unit};

/// A series worth looking at: a name, and a label that is one of several, if it has such a one.
pub(super) type Wanted = (&'static str, Option<(&'static str, &'static str)>);

/// Of a VM: what it leaves the guest for and how long that takes, and what its disk does.
pub(super) const OF_VMS: [Wanted; 11] = [
    ("vcpu_exits_total", Some(("reason", "io_out"))),
    ("vcpu_exits_total", Some(("reason", "io_in"))),
    ("vcpu_exits_total", Some(("reason", "mmio_read"))),
    ("vcpu_exits_total", Some(("reason", "mmio_write"))),
    ("vcpu_exit_duration_ns", None),
    ("vcpu_cpu_time_ns_total", None),
    ("blk_requests_total", Some(("op", "read"))),
    ("blk_requests_total", Some(("op", "write"))),
    ("blk_request_duration_ns", Some(("op", "write"))),
    ("blk_bytes_total", Some(("direction", "write"))),
    ("vmm_rss_bytes", None),
];

/// Of a process: what its worker and the kernel time and count.
pub(super) const OF_PROCESSES: [Wanted; 6] = [
    ("work_burst_duration_ns", None),
    ("disk_write_duration_ns", None),
    ("work_iterations_total", None),
    ("process_user_cpu_ns_total", None),
    ("io_written_chars_total", None),
    ("process_rss_bytes", None),
];

/// The series of a machine that are wanted, in that order.
pub(super) fn wanted<'a>(
    all: &'a [SeriesAnswer],
    wanted: &[Wanted],
) -> impl Iterator<Item = (&'a SeriesAnswer, Option<&'static str>)> {
    wanted.iter().flat_map(move |(name, label)| {
        let has_label = move |answer: &&SeriesAnswer| {
            let mut labels = answer.series.labels.iter();
            label.is_none_or(|(name, value)| labels.any(|(n, v)| n == name && v == value))
        };
        let named = all.iter().filter(move |answer| answer.series.name == *name);
        named
            .filter(has_label)
            .map(move |answer| (answer, label.map(|(_, value)| value)))
    })
}

/// A series worth looking at.
#[derive(Debug)]
pub(super) struct Line {
    /// Its name, and what the bars are.
    pub(super) title: String,
    /// The bars.
    pub(super) bars: String,
    /// The highest bar in figures.
    pub(super) greatest: String,
}

impl Line {
    /// Gauges as they are, counters by their increase, distributions by their mean: one bar for each of `count` intervals
    /// of `interval_ns` from `first_ns` on. The points are of tier 0. `which` tells it from others of its name.
    pub(super) fn new(
        (answer, which): (&SeriesAnswer, Option<&str>),
        first_ns: u64,
        interval_ns: u64,
        count: usize,
    ) -> Self {
        let (mut bars, mut before) = (vec![None; count], None);
        for point in &answer.points {
            let row = &point.row;
            let value = match answer.series.kind {
                Kind::Gauge => row.last,
                Kind::Counter | Kind::Distribution | Kind::Histogram => {
                    let now = row.total.zip(row.sum.or(Some(0.0)));
                    let change = now.zip(before).map(|(now, before)| Change::between(before, now));
                    before = now.or(before);
                    change.and_then(|change| match answer.series.kind {
                        Kind::Counter => Some(change.total as f64),
                        _ => change.mean(),
                    })
                }
            };
            let at = point.t.checked_sub(first_ns).map(|since| since / interval_ns);
            if let Some(bar) = at.and_then(|at| bars.get_mut(usize::try_from(at).ok()?)) {
                *bar = value;
            }
        }
        let what = match answer.series.kind {
            Kind::Gauge => "value",
            Kind::Counter => "per second",
            Kind::Distribution | Kind::Histogram => "mean",
        };
        let greatest = bars.iter().flatten().copied().reduce(f64::max);
        Self {
            title: match which {
                Some(which) => format!("{} {which} ({what})", answer.series.name),
                None => format!("{} ({what})", answer.series.name),
            },
            bars: sparkline(&bars, answer.series.kind != Kind::Gauge),
            greatest: greatest.map_or_else(String::new, |value| short(value, &answer.series.unit)),
        }
    }
}

/// What came to a total and a sum from one point to the next.
struct Change {
    total: u64,
    sum: f64,
}

impl Change {
    fn between((total_before, sum_before): (u64, f64), (total, sum): (u64, f64)) -> Self {
        Self {
            total: total.wrapping_sub(total_before),
            sum: sum - sum_before,
        }
    }

    fn mean(&self) -> Option<f64> {
        (self.total > 0).then(|| self.sum / self.total as f64)
    }
}

/// One block for each value from the least (or zero) to the greatest, a space where there is none.
fn sparkline(values: &[Option<f64>], from_zero: bool) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let known = || values.iter().flatten().copied();
    let least = known().fold(if from_zero { 0.0 } else { f64::INFINITY }, f64::min);
    let range = known().fold(f64::NEG_INFINITY, f64::max) - least;
    let block = |value: f64| {
        BLOCKS[if range > 0.0 {
            ((value - least) / range * 7.0).round() as usize
        } else {
            0
        }]
    };
    values.iter().map(|value| value.map_or(' ', block)).collect()
}

/// A value with the prefix that makes it short.
fn short(value: f64, unit: &Unit) -> String {
    const TIMES: [(f64, &str); 4] = [(1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")];
    const SIZES: [(f64, &str); 4] = [
        (1_073_741_824.0, "GiB"),
        (1_048_576.0, "MiB"),
        (1024.0, "KiB"),
        (1.0, "bytes"),
    ];
    let (steps, scale) = match unit.base() {
        Some(("seconds", scale)) => (TIMES, scale),
        Some(("bytes", scale)) => (SIZES, scale),
        _ => return format!("{value:.1} {unit}").trim_end().to_owned(),
    };
    let value = value * scale;
    let (step, name) = *steps
        .iter()
        .find(|(step, _)| value.abs() >= *step)
        .unwrap_or(&steps[3]);
    format!("{:.1} {name}", value / step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_short_in_units_that_people_know() {
        assert_eq!(short(30_310.0, &Unit::Nanoseconds), "30.3 µs");
        assert_eq!(short(12_845_056.0, &Unit::Bytes), "12.2 MiB");
        assert_eq!(short(0.0, &Unit::Nanoseconds), "0.0 ns");
        assert_eq!(short(99.0, &Unit::None), "99.0");
    }

    #[test]
    fn a_sparkline_spans_from_least_to_greatest_and_shows_gaps() {
        assert_eq!(sparkline(&[Some(0.0), None, Some(7.0), Some(3.0)], false), "▁ █▄");
        assert_eq!(sparkline(&[Some(5.0), Some(5.0)], false), "▁▁");
        assert_eq!(sparkline(&[Some(5.0), Some(5.0)], true), "██");
        assert_eq!(sparkline(&[None], true), " ");
    }
}
