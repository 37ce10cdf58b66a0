//! From the slots of a slab to points, a stretch of intervals at a time.
//!
//! An interval without a slot says something too (section 11.4 of `spec/slab.md`): a counter is unchanged, a
//! distribution had no samples. What it follows from is *carried* from one call to the next, so that no call has to
//! look at more of a column than the intervals it was asked for.

use rondo_reader::{Error, Kind, PointValue, Series, Slab, SlotValue, View};

/// What is known of a series in an interval without a slot.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) enum Carry {
    /// Not known yet: the column has to be searched once.
    #[default]
    Unread,
    /// Nothing: what it would follow from is torn or overwritten.
    Unknown,
    /// Nothing; its newest value is this.
    Gauge(f64),
    /// That a counter's total is this.
    Counter(u64),
    /// That a distribution's totals are these.
    Distribution { count: u64, sum: f64 },
}

impl Carry {
    /// After a present, filled or torn point.
    fn after(value: PointValue) -> Self {
        match value {
            PointValue::Gauge(value) => Self::Gauge(value),
            PointValue::Torn => Self::Unknown,
            PointValue::Counter(total) => Self::Counter(total),
            PointValue::Distribution { count, sum, .. } => Self::Distribution { count, sum },
        }
    }

    fn value(self) -> Option<PointValue> {
        match self {
            Self::Unread | Self::Unknown | Self::Gauge(_) => None,
            Self::Counter(total) => Some(PointValue::Counter(total)),
            Self::Distribution { count, sum } => Some(PointValue::Distribution {
                count,
                sum,
                min: None,
                max: None,
                last: None,
            }),
        }
    }
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Found {
    /// Slots that held a point.
    pub points: u64,
    /// Slots that their writer was in at every attempt.
    pub torn: u64,
}

impl Found {
    /// Adds what was found elsewhere.
    pub(crate) fn add(&mut self, other: Self) {
        self.points += other.points;
        self.torn += other.torn;
    }
}

/// Visits what is known of `series` in `count` intervals from `first_ns` on, all of them before the end of the view's
/// window, with the number of the series, that of the interval, and whether the value is filled.
pub(crate) fn gather(
    slab: &Slab,
    view: &View,
    series: &[Series],
    carries: &mut [Carry],
    (first_ns, count): (u64, u64),
    mut visit: impl FnMut(usize, usize, PointValue, bool),
) -> Result<Found, Error> {
    let axis = slab.layout().axis;
    let interval_ns = axis.interval_ns();
    let last_ns = first_ns + count.saturating_sub(1) * interval_ns;
    let mut found = Found::default();
    for (index, (series, carry)) in series.iter().zip(carries).enumerate() {
        let registered = axis.start_of(series.registered_ns);
        if *carry == Carry::Unread && registered >= first_ns {
            // There is nothing before it to search for.
            *carry = if series.kind.is_distribution() {
                Carry::Distribution { count: 0, sum: 0.0 }
            } else {
                Carry::Unknown
            };
        }
        if *carry == Carry::Unread && series.kind != Kind::Gauge {
            slab.each_point(series, view, first_ns, last_ns, |point| {
                found.points += u64::from(!point.filled && point.value != PointValue::Torn);
                found.torn += u64::from(point.value == PointValue::Torn);
                *carry = Carry::after(point.value);
                visit(
                    index,
                    ((point.t - first_ns) / interval_ns) as usize,
                    point.value,
                    point.filled,
                );
            })?;
            continue;
        }
        let ended = slab
            .ended_ns(series)?
            .map_or(u64::MAX, |ended| axis.start_of(ended));
        let filled_until = view.ticked_ns.min(ended);
        let mut interval = 0;
        slab.each_slot(series, view, first_ns, last_ns, |t, slot| {
            match slot {
                SlotValue::Present(value) => {
                    found.points += 1;
                    *carry = Carry::after(value);
                    visit(index, interval, value, false);
                }
                SlotValue::Absent => {
                    if let Some(value) = carry.value()
                        && t >= registered
                        && t <= filled_until
                    {
                        visit(index, interval, value, true);
                    }
                }
                SlotValue::Torn => {
                    found.torn += 1;
                    *carry = Carry::Unknown;
                    visit(index, interval, PointValue::Torn, false);
                }
                SlotValue::Overwritten => *carry = Carry::Unknown,
            }
            interval += 1;
        })?;
    }
    Ok(found)
}
