//! The rows of a run as bytes: what is needed of their source, then series after series its column of
//! counts, its columns of words, and its buckets.

use super::input::{Input, Malformed, varint_len};
use super::layout_block::write_bytes;
use super::{bucket_rows, counts, words};
use crate::store::{Layout, Run, Source, write_varint};
use rondo_shm_layout::{encode_labels, names};
use std::ops::Range;
use std::sync::Arc;

/// Counts and words of all rows of a run together: what bounds the memory that a block may ask for.
pub(super) const CELLS_MAX: usize = 1 << 20;

const SIMULATED_TIME: u8 = 1;

/// What a directory entry says of a run, and its block does not repeat.
pub(super) struct Place {
    pub incarnation: [u8; 16],
    pub uid: u32,
    pub part: u32,
    pub first_series: u32,
    pub rows: usize,
    pub start_ns: u64,
    pub clock_offset_ns: i64,
}

/// Counts and words of a row.
pub(super) fn cells_of_row(layout: &Layout) -> usize {
    layout.series().len() + layout.width()
}

/// Whether its vectors are as long as its layout says.
///
/// # Errors
/// Says which is not.
pub(super) fn check(run: &Run) -> Result<(), String> {
    let (rows, layout) = (run.rows(), &run.layout);
    let fits = run.known.len() == rows * layout.series().len()
        && run.words.len() == rows * layout.width()
        && run.buckets.len() == rows * layout.histograms().len();
    let whole = layout
        .interval_ns()
        .checked_mul(rows as u64)
        .and_then(|length| run.start_ns.checked_add(length));
    match (fits, whole) {
        (false, _) => Err("a run has vectors of the wrong length".to_owned()),
        (_, None) => Err("a run ends after the end of time".to_owned()),
        _ if !names::is_instance(&run.source.instance) || !names::is_schema(&run.source.schema) => {
            Err("a run has an instance or schema name that is not allowed".to_owned())
        }
        _ => Ok(()),
    }
}

/// When the machine ended, if it did so with the rows before `end`.
pub(super) fn ended_ns(run: &Run, end: usize) -> u64 {
    if end == run.rows() { run.ended_ns } else { 0 }
}

/// Bytes of a block at most, whatever its values are, if no count is above `known_max`.
pub(super) fn len_max(source: &Source, layout: &Layout, rows: usize, known_max: u32) -> usize {
    let text = |length: usize| varint_len(length as u64) + length;
    let labels = encode_labels(&source.labels).map_or(0, |labels| labels.len());
    let head = 1
        + source.boot_id.len()
        + varint_len(source.created_ns)
        + varint_len(source.interval_ns)
        + varint_len(u64::MAX)
        + text(source.instance.len())
        + text(source.schema.len())
        + text(labels);
    let series = layout.series().iter().map(|series| {
        let buckets = series
            .buckets
            .map(|shape| bucket_rows::len_max(rows, shape.count));
        counts::len_max(rows, known_max) + buckets.unwrap_or(0)
    });
    head + series.sum::<usize>() + layout.width() * words::len_max(rows)
}

/// Appends some of the rows of a run that has been checked.
///
/// # Errors
/// Says which label is not allowed.
pub(super) fn encode(bytes: &mut Vec<u8>, run: &Run, rows: Range<usize>) -> Result<(), String> {
    let (source, layout) = (&*run.source, &*run.layout);
    bytes.push(if source.simulated_time { SIMULATED_TIME } else { 0 });
    bytes.extend_from_slice(&source.boot_id);
    write_varint(bytes, source.created_ns);
    write_varint(bytes, source.interval_ns);
    write_varint(bytes, ended_ns(run, rows.end));
    write_bytes(bytes, source.instance.as_bytes());
    write_bytes(bytes, source.schema.as_bytes());
    write_bytes(bytes, &encode_labels(&source.labels)?);

    let (series_count, width) = (layout.series().len(), layout.width());
    let histogram_count = layout.histograms().len();
    let mut column = Vec::with_capacity(rows.len());
    let (mut known, mut known_before) = (Vec::with_capacity(rows.len()), Vec::new());
    let mut histogram = 0;
    for (index, series) in layout.series().iter().enumerate() {
        known.clear();
        known.extend(rows.clone().map(|row| run.known[row * series_count + index]));
        let before = (index > 0).then_some(known_before.as_slice());
        counts::encode(bytes, &known, before);
        std::mem::swap(&mut known, &mut known_before);
        for (kind, at) in layout.columns(index).iter().zip(layout.words(index)) {
            column.clear();
            column.extend(rows.clone().map(|row| run.words[row * width + at]));
            words::encode(bytes, &column, kind.is_integer());
        }
        if let Some(shape) = series.buckets {
            let all = rows
                .clone()
                .map(|row| &run.buckets[row * histogram_count + histogram]);
            bucket_rows::encode(bytes, shape.count, all);
            histogram += 1;
        }
    }
    Ok(())
}

/// The run in `bytes`: all series, or those of `wanted` (ascending), whose layout is then `projected`.
pub(super) fn decode(
    bytes: &[u8],
    place: &Place,
    layout: &Layout,
    wanted: Option<&[usize]>,
    projected: Arc<Layout>,
) -> Result<Run, Malformed> {
    let rows = place.rows;
    let cells = rows
        .checked_mul(cells_of_row(layout))
        .filter(|&cells| cells <= CELLS_MAX);
    let length = layout.interval_ns().checked_mul(rows as u64);
    let end = length.and_then(|length| place.start_ns.checked_add(length));
    if cells.is_none() || end.is_none() {
        return Err(Malformed("a run is too long"));
    }
    let mut input = Input(bytes);
    let simulated_time = input.u8()? & SIMULATED_TIME != 0;
    let boot_id = input.array()?;
    let created_ns = input.varint()?;
    let interval_ns = input.varint()?;
    let ended_ns = input.varint()?;
    let source = Source {
        incarnation: place.incarnation,
        boot_id,
        instance: input.text(names::is_instance)?,
        schema: input.text(names::is_schema)?,
        part: place.part,
        uid: place.uid,
        labels: input.labels()?,
        created_ns,
        interval_ns,
        simulated_time,
    };
    let (series_count, width) = (projected.series().len(), projected.width());
    let histogram_count = projected.histograms().len();
    let mut run = Run {
        known: vec![0; rows * series_count],
        words: vec![0; rows * width],
        buckets: vec![Default::default(); rows * histogram_count],
        clock_offset_ns: place.clock_offset_ns,
        ended_ns,
        ..Run::new(Arc::new(source), projected, place.first_series, place.start_ns)
    };

    let (mut into, mut histogram, mut at) = (0, 0, 0);
    let (mut column, mut known, mut bytes_left) = (Vec::new(), None, bucket_rows::BYTES_MAX);
    for (index, series) in layout.series().iter().enumerate() {
        if into == series_count {
            // The rest is not wanted; all there is has been checked by its checksum.
            return Ok(run);
        }
        let counts = counts::Counts::parse(&mut input, rows, known)?;
        known = Some(counts);
        let kinds = layout.columns(index);
        if wanted.is_some_and(|wanted| wanted.get(into) != Some(&index)) {
            for _ in kinds.iter() {
                words::skip(&mut input, rows)?;
            }
            if series.buckets.is_some() {
                bucket_rows::skip(&mut input)?;
            }
            continue;
        }
        for (row, count) in counts.iter().take(rows).enumerate() {
            run.known[row * series_count + into] = count;
        }
        for _ in kinds.iter() {
            words::decode(&mut input, rows, &mut column)?;
            for (row, &word) in column.iter().enumerate() {
                run.words[row * width + at] = word;
            }
            at += 1;
        }
        if let Some(shape) = series.buckets {
            let all = bucket_rows::decode(&mut input, shape.count, rows, &mut bytes_left)?;
            for (row, buckets) in all.into_iter().enumerate() {
                run.buckets[row * histogram_count + histogram] = buckets;
            }
            histogram += 1;
        }
        into += 1;
    }
    input.end()?;
    Ok(run)
}
