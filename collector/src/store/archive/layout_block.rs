//! A layout as bytes, stored once in each extent that has runs of it.

use super::input::{Input, Malformed};
use crate::store::{BucketShape, Column, Columns, Layout, SLICE_SERIES_MAX, StoredSeries, write_varint};
use rondo_reader::{Kind, Unit};
use rondo_shm_layout::{Functions, buckets, encode_labels, names};
use std::sync::Arc;

/// Bits that a set of columns may have.
const COLUMNS: u8 = Column::Last as u8 * 2 - 1;

/// No buckets, or not more than there are.
fn is_shape(shape: BucketShape) -> bool {
    shape.precision <= 6 && shape.count <= buckets::count_max(shape.precision)
}

pub(super) fn write_bytes(bytes: &mut Vec<u8>, part: &[u8]) {
    write_varint(bytes, part.len() as u64);
    bytes.extend_from_slice(part);
}

/// The layout as bytes.
///
/// # Errors
/// Says what a slab could not have had.
pub(super) fn encode(layout: &Layout) -> Result<Vec<u8>, String> {
    if layout.series().len() > SLICE_SERIES_MAX {
        return Err(format!("a layout has more than {SLICE_SERIES_MAX} series"));
    }
    let mut bytes = vec![layout.tier()];
    write_varint(&mut bytes, layout.interval_ns());
    write_varint(&mut bytes, u64::from(layout.functions().0));
    write_varint(&mut bytes, layout.series().len() as u64);
    for (index, series) in layout.series().iter().enumerate() {
        if !names::is_metric(&series.name) {
            return Err(format!("series name {:?} is not allowed", series.name));
        }
        bytes.push(series.kind as u8);
        bytes.push(layout.columns(index).0 & COLUMNS);
        let shape = series.buckets.unwrap_or(BucketShape {
            count: 0,
            precision: 0,
        });
        bytes.push(shape.precision);
        write_varint(&mut bytes, u64::from(shape.count));
        if !is_shape(shape) {
            return Err(format!("series {} has more buckets than there are", series.name));
        }
        for text in [&series.name, series.unit.as_str(), &series.help] {
            if !names::is_text(text) {
                return Err(format!("a text of series {} has control characters", series.name));
            }
            write_bytes(&mut bytes, text.as_bytes());
        }
        write_bytes(&mut bytes, &encode_labels(&series.labels)?);
    }
    Ok(bytes)
}

/// The layout in `bytes`.
pub(super) fn decode(bytes: &[u8]) -> Result<Layout, Malformed> {
    let mut input = Input(bytes);
    let tier = input.u8()?;
    let interval_ns = input.varint()?;
    let functions = Functions(input.small()?);
    let series_count: usize = input.small()?;
    if interval_ns == 0 || series_count > SLICE_SERIES_MAX {
        return Err(Malformed("a layout has no interval, or too many series"));
    }
    let (mut all, mut columns) = (Vec::new(), Vec::new());
    for _ in 0..series_count {
        let kind = Kind::from_number(input.u8()?).ok_or(Malformed("a series is of an unknown kind"))?;
        columns.push(Columns(input.u8()? & COLUMNS));
        let precision = input.u8()?;
        let count: u32 = input.small()?;
        let shape = BucketShape { count, precision };
        if !is_shape(shape) {
            return Err(Malformed("a histogram has more buckets than there are"));
        }
        all.push(StoredSeries {
            kind,
            name: input.text(names::is_metric)?,
            unit: Unit::from(input.text(names::is_text)?.as_str()),
            help: input.text(names::is_text)?,
            labels: input.labels()?,
            buckets: (count > 0).then_some(shape),
        });
    }
    input.end()?;
    let all: Arc<[StoredSeries]> = all.into();
    Ok(Layout::with_columns(tier, interval_ns, functions, all, columns))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_layout_comes_back() {
        let one = |kind, name: &str, labels: &[(&str, &str)]| StoredSeries {
            kind,
            unit: Unit::from("bytes"),
            name: name.into(),
            help: "Größe".into(),
            labels: labels.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect(),
            buckets: (kind == Kind::Histogram).then_some(BucketShape {
                count: 400,
                precision: 3,
            }),
        };
        let series: Arc<[StoredSeries]> = Kind::ALL
            .map(|kind| one(kind, "a_b", &[("cpu", "0"), ("dev", "vda")]))
            .into();
        let layout = Layout::new(2, 300_000_000_000, Functions(5), &[Functions::MIN], series);
        assert_eq!(decode(&encode(&layout).unwrap()).unwrap(), layout);
        let empty = Layout::new(0, 1, Functions::default(), &[], Arc::new([]));
        assert_eq!(decode(&encode(&empty).unwrap()).unwrap(), empty);
        // What could never be read back is not written.
        let unordered: Arc<[StoredSeries]> = Arc::new([one(Kind::Gauge, "a b", &[])]);
        assert!(encode(&Layout::new(0, 1, Functions::default(), &[], unordered)).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_layout_or_malformed(bytes in prop::collection::vec(prop_oneof![0u8..4, any::<u8>()], 0..100)) {
            if let Ok(layout) = decode(&bytes) {
                prop_assert_eq!(decode(&encode(&layout).unwrap()).unwrap(), layout);
            }
        }
    }
}
