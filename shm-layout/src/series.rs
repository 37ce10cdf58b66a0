//! Series descriptors: the record in the slab, and the checked, owned form that readers keep.

use crate::image::Image;
use crate::layout::Geometry;
use crate::names;
use crate::rule::{Rule, Violation};
use crate::sync::{AtomicU64, Ordering};
use crate::text::{Labels, TextRef, decode_labels};
use crate::unit::Unit;
use crate::{DistributionSlot, PointSlot, SectionKind, buckets};
use core::ops::Deref;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The record. Constant once published, except `ended_ns`.
#[derive(Debug, Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SeriesDescriptor {
    /// A [`Kind`], or one that this version does not know.
    pub kind: u8,
    /// An [`Access`].
    pub access: u8,
    /// Histograms: see [`crate::buckets`].
    pub bucket_precision: u8,
    /// Zero.
    pub reserved: u8,
    /// Bytes from slot to slot.
    pub slot_size: U32,
    /// Where the column starts.
    pub column_offset: U64,
    /// Slab time of registration.
    pub registered_ns: U64,
    /// Live: slab time of the end, or 0.
    pub ended_ns: U64,
    /// Metric name.
    pub name: TextRef,
    /// Unit of measure.
    pub unit: TextRef,
    /// A sentence for people.
    pub help: TextRef,
    /// Coded labels.
    pub labels: TextRef,
    /// Shared series: where the cell is.
    pub cell_offset: U64,
    /// Histograms: where the buckets are.
    pub buckets_offset: U64,
    /// Histograms: how many.
    pub bucket_count: U32,
    /// Zero.
    pub reserved_tail: [u8; 12],
}

const _: () = assert!(size_of::<SeriesDescriptor>() == 128);

/// What a series measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// A value that goes up and down; the last one in the interval is kept.
    Gauge = 1,
    /// A total that only grows.
    Counter = 2,
    /// Count, sum, min, max and last of samples.
    Distribution = 3,
    /// A distribution with buckets, for quantiles.
    Histogram = 4,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Gauge, Self::Counter, Self::Distribution, Self::Histogram];

    /// The kind of that number, if this version knows it.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|&kind| kind as u8 == number)
    }

    /// Whether its slots are [`DistributionSlot`]s.
    pub fn is_distribution(self) -> bool {
        matches!(self, Self::Distribution | Self::Histogram)
    }

    /// `gauge`, `counter`, `distribution` or `histogram`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Distribution => "distribution",
            Self::Histogram => "histogram",
        }
    }

    /// Least bytes of its slots.
    pub fn slot_size(self) -> u32 {
        if self.is_distribution() {
            size_of::<DistributionSlot>() as u32
        } else {
            size_of::<PointSlot>() as u32
        }
    }
}

/// Who may write a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Access {
    /// One handle, in one thread.
    Owned = 1,
    /// The writer object.
    WriterHeld = 2,
    /// Any thread, through a cell that the tick copies.
    Shared = 3,
}

impl Access {
    /// The access of that number; readers treat unknown ones as owned.
    pub fn from_number(number: u8) -> Self {
        match number {
            2 => Self::WriterHeld,
            3 => Self::Shared,
            _ => Self::Owned,
        }
    }
}

/// The buckets of a histogram: where, how many, how fine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BucketArray {
    /// Where they start.
    pub offset: u64,
    /// How many, the last one open-ended.
    pub count: u32,
    /// See [`crate::buckets`].
    pub precision: u8,
}

/// What a descriptor says of its series but for the time of registration: checked, owned.
///
/// Every offset in it was checked against the image it was read from. All machines that run the same
/// program have equal ones, so whoever reads many slabs can keep each once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SeriesInfo {
    /// Which descriptor it is.
    pub index: u32,
    /// What it measures.
    pub kind: Kind,
    /// Who writes it.
    pub access: Access,
    /// Metric name.
    pub name: String,
    /// Unit of measure.
    pub unit: Unit,
    /// A sentence for people; may be empty.
    pub help: String,
    /// Labels.
    pub labels: Labels,
    /// Where its column starts.
    pub column_offset: u64,
    /// Bytes from slot to slot.
    pub slot_size: u32,
    /// Shared series: where the cell is.
    pub cell_offset: Option<u64>,
    /// Histograms: the buckets.
    pub buckets: Option<BucketArray>,
    ended_offset: u64,
}

/// A series of a slab: a checked, owned copy of its descriptor.
#[derive(Debug, Clone)]
pub struct Series {
    /// What it is.
    pub info: SeriesInfo,
    /// Slab time of registration.
    pub registered_ns: u64,
}

impl Deref for Series {
    type Target = SeriesInfo;

    fn deref(&self) -> &SeriesInfo {
        &self.info
    }
}

impl Series {
    /// Reads and checks descriptor `index`; `None` if its kind is unknown. The caller has seen it published.
    ///
    /// # Errors
    /// The rule that the descriptor breaks.
    pub fn read(image: Image<'_>, layout: &Geometry, index: u32) -> Result<Option<Self>, Violation> {
        let section = layout.section(SectionKind::Series);
        let place = |detail: String| Violation::new(Rule::SeriesPlace, format!("series {index}: {detail}"));
        let offset = section
            .record_offset(u64::from(index))
            .ok_or_else(|| Violation::new(Rule::SeriesCount, format!("no descriptor {index}")))?;
        let record: SeriesDescriptor = image
            .record(offset)
            .ok_or_else(|| place("outside the file".into()))?;
        let Some(kind) = Kind::from_number(record.kind) else {
            return Ok(None);
        };

        let invalid = |detail: String| Violation::new(Rule::SeriesName, format!("series {index}: {detail}"));
        let text = |what: &str, at: TextRef| -> Result<String, Violation> {
            let text = String::from_utf8(layout.text(image, at)?)
                .map_err(|_| invalid(format!("{what} is not UTF-8")))?;
            if names::is_text(&text) {
                Ok(text)
            } else {
                Err(invalid(format!("{what} has control characters")))
            }
        };
        let name = text("the name", record.name)?;
        if !names::is_metric(&name) {
            let name: String = name.chars().take(40).collect();
            return Err(invalid(format!("{name:?} is not a metric name")));
        }
        let (unit, help) = (text("the unit", record.unit)?, text("the help", record.help)?);
        if unit.len() > 32 || help.len() > 1024 {
            return Err(invalid("unit or help is too long".into()));
        }
        let labels = decode_labels(&layout.text(image, record.labels)?).map_err(invalid)?;

        let (pool, slot) = if kind.is_distribution() {
            (SectionKind::Distributions, 64)
        } else {
            (SectionKind::Points, 16)
        };
        let (slot_size, column_offset) = (record.slot_size.get(), record.column_offset.get());
        let pool = layout.section(pool);
        let column_bytes = u64::from(slot_size) * layout.axis.slot_count();
        if slot_size < slot
            || !slot_size.is_multiple_of(slot)
            || !pool.has_record_at(column_offset)
            || column_bytes > u64::from(pool.record_size)
        {
            return Err(place(format!(
                "column at {column_offset} with slots of {slot_size} bytes"
            )));
        }
        let access = match Access::from_number(record.access) {
            Access::Shared if kind.is_distribution() => Access::Owned,
            access => access,
        };
        let cell_offset = record.cell_offset.get();
        let cell_offset = match access {
            Access::Shared if !layout.section(SectionKind::Cells).has_record_at(cell_offset) => {
                return Err(place(format!("cell at {cell_offset}")));
            }
            Access::Shared => Some(cell_offset),
            _ => None,
        };
        let buckets = BucketArray {
            offset: record.buckets_offset.get(),
            count: record.bucket_count.get(),
            precision: record.bucket_precision,
        };
        let buckets = match kind {
            Kind::Histogram => {
                let bytes = u64::from(buckets.count) * 8;
                let fits = layout.section(SectionKind::Buckets).covers(buckets.offset, bytes);
                if !fits
                    || !buckets.offset.is_multiple_of(8)
                    || !(2..=buckets::count_max(buckets.precision.min(buckets::PRECISION_MAX)))
                        .contains(&buckets.count)
                    || buckets.precision > buckets::PRECISION_MAX
                {
                    return Err(place(format!("{buckets:?}")));
                }
                Some(buckets)
            }
            _ if (buckets.offset, buckets.count, buckets.precision) != (0, 0, 0) => {
                return Err(place(format!("{buckets:?} of a {}", kind.as_str())));
            }
            _ => None,
        };
        let info = SeriesInfo {
            index,
            kind,
            access,
            name,
            unit: Unit::from(unit.as_str()),
            help,
            labels,
            column_offset,
            slot_size,
            cell_offset,
            buckets,
            ended_offset: offset + core::mem::offset_of!(SeriesDescriptor, ended_ns) as u64,
        };
        Ok(Some(Self {
            info,
            registered_ns: record.registered_ns.get(),
        }))
    }
}

impl SeriesInfo {
    /// Where the slot of that index is.
    #[inline]
    pub fn slot_offset(&self, slot_index: u64) -> u64 {
        self.column_offset + slot_index * u64::from(self.slot_size)
    }

    /// The live word `ended_ns` of the image that the series was read from.
    pub fn ended_word<'m>(&self, image: Image<'m>) -> Option<&'m AtomicU64> {
        image.word(self.ended_offset)
    }

    /// Slab time at which what it measures went away, or `None` while it is there.
    pub fn ended_ns(&self, image: Image<'_>) -> Option<u64> {
        self.ended_word(image)
            .map(|word| word.load(Ordering::Relaxed))
            .filter(|&ended| ended != 0)
    }
}
