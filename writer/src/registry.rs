//! A slab's directory as its writer keeps it: what is registered, and what of the pools is used.

use crate::admit::count;
use crate::error::RegisterError;
use crate::mapping::SlabMemory;
use rondo_shm_layout::sync::Ordering;
use rondo_shm_layout::{
    Access, BucketArray, Kind, Rule, SectionKind, Series, SeriesDescriptor, TextRef, Unit, Violation,
    buckets, encode_labels, names,
};
use std::collections::{BTreeMap, HashMap, HashSet};
use zerocopy::IntoBytes;

/// Most bytes of texts that all series of a slab may have together.
const TEXT_BYTES_MAX: u64 = 16 << 20;

/// What a caller asks for.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) unit: Unit,
    pub(crate) help: String,
    pub(crate) labels: Vec<(String, String)>,
    /// Histograms: precision and greatest expected sample.
    pub(crate) resolution: Option<(u8, u64)>,
}

/// Where a registered series is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) index: u32,
    pub(crate) kind: Kind,
    pub(crate) access: Access,
    pub(crate) column_offset: u64,
    pub(crate) cell_offset: u64,
    pub(crate) buckets: Option<BucketArray>,
}

#[derive(Debug, Default)]
pub(crate) struct Registry {
    by_name: HashMap<(String, Vec<u8>), (Entry, Unit)>,
    kinds: HashMap<String, Kind>,
    texts: HashMap<Vec<u8>, TextRef>,
    strings_used: u64,
    points_used: u32,
    distributions_used: u32,
    cells_used: u32,
    buckets_used: u32,
}

impl Registry {
    /// What a slab already holds, which is nothing but the identity's texts unless it was reopened.
    ///
    /// # Errors
    /// The rule that a descriptor breaks.
    pub(crate) fn read(slab: &SlabMemory) -> Result<Self, Violation> {
        let (image, layout) = (slab.image(), &slab.layout);
        let mut registry = Self::default();
        let identity: Option<rondo_shm_layout::Identity> =
            image.record(layout.section(SectionKind::Identity).offset);
        for text in identity.iter().flat_map(|i| [i.instance, i.schema, i.labels]) {
            registry.keep_text(slab, text)?;
        }
        let series_count = slab.live().directory().published();
        let mut text_bytes = 0;
        let mut places = Places::default();
        for index in 0..series_count {
            let index = u32::try_from(index)
                .map_err(|_| Violation::new(Rule::SeriesCount, format!("{series_count} series")))?;
            let Some(series) = Series::read(image, layout, index)? else {
                continue;
            };
            let at = layout
                .section(SectionKind::Series)
                .record_offset(u64::from(index));
            let record: Option<SeriesDescriptor> = at.and_then(|at| image.record(at));
            for text in record.iter().flat_map(|r| [r.name, r.unit, r.help, r.labels]) {
                text_bytes += u64::from(text.length.get());
                if text_bytes > TEXT_BYTES_MAX {
                    let detail = "the texts of the series together are more than 16 MiB";
                    return Err(Violation::new(Rule::TextBounds, detail));
                }
                registry.keep_text(slab, text)?;
            }
            places.take(&series)?;
            registry.keep_series(slab, &series)?;
        }
        Ok(registry)
    }

    fn keep_text(&mut self, slab: &SlabMemory, text: TextRef) -> Result<(), Violation> {
        let bytes = slab.layout.text(slab.image(), text)?;
        if !bytes.is_empty() {
            let end = text.offset.get() + u64::from(text.length.get());
            let used = end - slab.layout.section(SectionKind::Strings).offset;
            self.strings_used = self.strings_used.max(used.next_multiple_of(8));
            self.texts.insert(bytes, text);
        }
        Ok(())
    }

    fn keep_series(&mut self, slab: &SlabMemory, series: &Series) -> Result<(), Violation> {
        let nth = |kind: SectionKind, offset: u64| {
            let section = slab.layout.section(kind);
            ((offset - section.offset) / u64::from(section.record_size)) as u32 + 1
        };
        if series.kind.is_distribution() {
            let used = nth(SectionKind::Distributions, series.column_offset);
            self.distributions_used = self.distributions_used.max(used);
        } else {
            self.points_used = self
                .points_used
                .max(nth(SectionKind::Points, series.column_offset));
        }
        if let Some(cell) = series.cell_offset {
            self.cells_used = self.cells_used.max(nth(SectionKind::Cells, cell));
        }
        if let Some(buckets) = series.buckets {
            let used = nth(SectionKind::Buckets, buckets.offset) - 1 + buckets.count;
            self.buckets_used = self.buckets_used.max(used);
        }
        let entry = Entry {
            index: series.index,
            kind: series.kind,
            access: series.access,
            column_offset: series.column_offset,
            cell_offset: series.cell_offset.unwrap_or(0),
            buckets: series.buckets,
        };
        let labels = encode_labels(&series.labels).map_err(|why| Violation::new(Rule::SeriesName, why))?;
        let kind = *self.kinds.entry(series.name.clone()).or_insert(series.kind);
        let key = (series.name.clone(), labels);
        let earlier = self.by_name.insert(key, (entry, series.unit.clone()));
        if earlier.is_some() || kind != series.kind {
            let detail = format!("series {}: another {} is there", series.index, series.name);
            return Err(Violation::new(Rule::SeriesUnique, detail));
        }
        Ok(())
    }

    /// Finds or adds a series.
    ///
    /// # Errors
    /// See [`RegisterError`]; refusals are counted in the slab.
    pub(crate) fn register(
        &mut self,
        slab: &SlabMemory,
        request: &Request,
        access: Access,
        now_ns: u64,
    ) -> Result<(Entry, IsNew), RegisterError> {
        self.find_or_add(slab, request, access, now_ns).inspect_err(|_| {
            count::<()>(slab.live().refused_count);
        })
    }

    fn find_or_add(
        &mut self,
        slab: &SlabMemory,
        request: &Request,
        access: Access,
        now_ns: u64,
    ) -> Result<(Entry, IsNew), RegisterError> {
        let name = || request.name.clone();
        if !names::is_metric(&request.name) {
            return Err(RegisterError::Name(name()));
        }
        let is_text = |text: &str, length_max: usize| text.len() <= length_max && names::is_text(text);
        if !is_text(&request.help, 1024) || !is_text(request.unit.as_str(), 32) {
            return Err(RegisterError::Text(name()));
        }
        let labels =
            encode_labels(&request.labels).map_err(|why| RegisterError::Label { name: name(), why })?;
        let resolution = match request.resolution {
            Some((precision, _)) if precision > buckets::PRECISION_MAX => {
                return Err(RegisterError::Precision(name()));
            }
            Some((precision, sample_max)) => Some((precision, buckets::count_for(sample_max, precision))),
            None => None,
        };
        let key = (name(), labels);
        if let Some((entry, unit)) = self.by_name.get(&key) {
            let differs = [
                ("kind", entry.kind != request.kind),
                ("unit", unit.as_str() != request.unit.as_str()),
                ("access", entry.access != access),
                (
                    "resolution",
                    entry.buckets.map(|b| (b.precision, b.count)) != resolution,
                ),
            ];
            return match differs.into_iter().find(|(_, differs)| *differs) {
                Some((what, _)) => Err(RegisterError::Mismatch { name: name(), what }),
                None => Ok((*entry, IsNew(false))),
            };
        }
        if self
            .kinds
            .get(&request.name)
            .is_some_and(|&kind| kind != request.kind)
        {
            return Err(RegisterError::Mismatch {
                name: name(),
                what: "kind",
            });
        }
        let entry = self.add(slab, request, &key.1, access, resolution, now_ns)?;
        self.kinds.insert(name(), request.kind);
        self.by_name.insert(key, (entry, request.unit.clone()));
        Ok((entry, IsNew(true)))
    }

    fn add(
        &mut self,
        slab: &SlabMemory,
        request: &Request,
        labels: &[u8],
        access: Access,
        resolution: Option<(u8, u32)>,
        now_ns: u64,
    ) -> Result<Entry, RegisterError> {
        let layout = &slab.layout;
        let full = |what, max, field| RegisterError::Full {
            name: request.name.clone(),
            what,
            max,
            field,
        };
        // The next free record of a pool, without taking it yet: a refusal must leave no holes.
        let next = |kind: SectionKind, used: u32, what, field| {
            let section = layout.section(kind);
            section
                .record_offset(u64::from(used))
                .ok_or_else(|| full(what, section.record_count, field))
        };
        let column_offset = if request.kind.is_distribution() {
            next(
                SectionKind::Distributions,
                self.distributions_used,
                "distributions",
                "distribution_max",
            )?
        } else {
            next(
                SectionKind::Points,
                self.points_used,
                "gauges and counters",
                "series_max",
            )?
        };
        let cell_offset = match access {
            Access::Shared => next(SectionKind::Cells, self.cells_used, "shared cells", "shared_max")?,
            _ => 0,
        };
        let buckets = match resolution {
            Some((precision, count)) => {
                let room = layout.section(SectionKind::Buckets);
                let last = u64::from(self.buckets_used) + u64::from(count) - 1;
                room.record_offset(last)
                    .ok_or_else(|| full("histogram buckets", room.record_count, "buckets_max"))?;
                Some(BucketArray {
                    offset: room.offset + u64::from(self.buckets_used) * 8,
                    count,
                    precision,
                })
            }
            None => None,
        };
        let index = slab.live().directory().published() as u32;
        let record_offset = layout
            .section(SectionKind::Series)
            .record_offset(u64::from(index))
            .ok_or_else(|| full("descriptors", layout.header.series_capacity.get(), "series_max"))?;
        let texts = [
            request.name.as_bytes(),
            request.unit.as_str().as_bytes(),
            request.help.as_bytes(),
            labels,
        ];
        let [name, unit, help, labels] = self.intern(slab, texts).ok_or_else(|| {
            let max = layout.section(SectionKind::Strings).record_count;
            full("bytes for names, helps and labels", max, "strings_max")
        })?;
        let descriptor = SeriesDescriptor {
            kind: request.kind as u8,
            access: access as u8,
            bucket_precision: buckets.map_or(0, |b| b.precision),
            reserved: 0,
            slot_size: request.kind.slot_size().into(),
            column_offset: column_offset.into(),
            registered_ns: now_ns.into(),
            ended_ns: 0.into(),
            name,
            unit,
            help,
            labels,
            cell_offset: cell_offset.into(),
            buckets_offset: buckets.map_or(0, |b| b.offset).into(),
            bucket_count: buckets.map_or(0, |b| b.count).into(),
            reserved_tail: [0; 12],
        };
        slab.image()
            .store(record_offset, descriptor.as_bytes())
            .ok_or_else(|| full("descriptors", layout.header.series_capacity.get(), "series_max"))?;
        if request.kind.is_distribution() {
            self.distributions_used += 1;
        } else {
            self.points_used += 1;
        }
        self.cells_used += u32::from(access == Access::Shared);
        self.buckets_used += buckets.map_or(0, |b| b.count);
        Ok(Entry {
            index,
            kind: request.kind,
            access,
            column_offset,
            cell_offset,
            buckets,
        })
    }

    /// Stores texts, each once and padded to whole words: all of them, or none if there is no room.
    fn intern<const N: usize>(&mut self, slab: &SlabMemory, texts: [&[u8]; N]) -> Option<[TextRef; N]> {
        let section = slab.layout.section(SectionKind::Strings);
        let mut used = self.strings_used;
        let mut refs = [TextRef::default(); N];
        for (i, bytes) in texts.into_iter().enumerate() {
            let earlier = texts[..i].iter().position(|text| *text == bytes);
            if bytes.is_empty() {
                continue;
            } else if let Some(known) = self.texts.get(bytes).copied().or(earlier.map(|j| refs[j])) {
                refs[i] = known;
                continue;
            }
            refs[i] = TextRef {
                offset: (section.offset + used).into(),
                length: u32::try_from(bytes.len()).ok()?.into(),
                reserved: 0.into(),
            };
            used += (bytes.len() as u64).next_multiple_of(8);
            if used > section.length {
                return None;
            }
        }
        for (text, bytes) in refs.iter().zip(texts).filter(|(_, bytes)| !bytes.is_empty()) {
            let mut padded = bytes.to_vec();
            padded.resize(bytes.len().next_multiple_of(8), 0);
            if !self.texts.contains_key(bytes) {
                slab.image().store(text.offset.get(), &padded)?;
                self.texts.insert(bytes.to_vec(), *text);
            }
        }
        self.strings_used = used;
        Some(refs)
    }
}

/// Where the series of a slab are that someone else may have written.
#[derive(Default)]
struct Places {
    /// Columns and cells.
    records: HashSet<u64>,
    /// Ends of bucket arrays by their starts.
    buckets: BTreeMap<u64, u64>,
}

impl Places {
    fn take(&mut self, series: &Series) -> Result<(), Violation> {
        let is_free = self.records.insert(series.column_offset)
            && series.cell_offset.is_none_or(|cell| self.records.insert(cell))
            && series.buckets.is_none_or(|array| {
                let end = array.offset + 8 * u64::from(array.count);
                let before = self.buckets.range(..end).next_back();
                let is_free = before.is_none_or(|(_, &before_ends)| before_ends <= array.offset);
                self.buckets.insert(array.offset, end);
                is_free
            });
        let detail = || format!("series {}: its place is another's", series.index);
        is_free
            .then_some(())
            .ok_or_else(|| Violation::new(Rule::ColumnShared, detail()))
    }
}

/// Whether a series was added just now: its descriptor is written, but not published yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IsNew(pub(crate) bool);

/// Makes a new series visible, after its first slot was written where it has one.
pub(crate) fn publish(slab: &SlabMemory, entry: &Entry) {
    slab.live().directory().publish(u64::from(entry.index) + 1);
}

/// Stores the one thing about a descriptor that may change.
pub(crate) fn set_ended(slab: &SlabMemory, index: u32, ended_ns: u64) {
    let at = slab
        .layout
        .section(SectionKind::Series)
        .record_offset(u64::from(index));
    let field = std::mem::offset_of!(SeriesDescriptor, ended_ns) as u64;
    if let Some(word) = at.and_then(|at| slab.image().word(at + field)) {
        word.store(ended_ns, Ordering::Release);
    }
}
