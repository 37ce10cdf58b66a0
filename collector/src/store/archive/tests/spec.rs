//! `spec/store.md` and the records say the same.

use crate::store::archive::frame::{Entry, FrameHeader};
use crate::store::archive::header::ArchiveHeader;
use std::mem::offset_of;
use std::path::Path;

/// Fields of a record with their offsets, and its size.
macro_rules! record {
    ($record:ty, $($field:ident),+ $(,)?) => {
        (vec![$((stringify!($field).to_owned(), offset_of!($record, $field))),+], size_of::<$record>())
    };
}

/// Rows of the table that stands behind the marker, as (field, offset), and the bytes that they and the heading say.
fn table(name: &str) -> (Vec<(String, usize)>, usize) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/store.md");
    let page = std::fs::read_to_string(path).unwrap();
    let mut lines = page
        .lines()
        .skip_while(|line| *line != format!("<!-- table: {name} -->"))
        .skip(1);
    let heading = lines.next().unwrap_or_else(|| panic!("no table {name}"));
    let (mut fields, mut end) = (Vec::new(), 0);
    for line in lines
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .skip(2)
    {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let (offset, size): (usize, usize) = (cells[0].parse().unwrap(), cells[1].parse().unwrap());
        assert_eq!(offset, end, "{line}: a gap or an overlap");
        let size_of_type = match cells[2] {
            "u8" => 1,
            "u16" => 2,
            "u32" => 4,
            "u64" | "i64" => 8,
            _ => size,
        };
        assert_eq!(size, size_of_type, "{line}");
        end += size;
        fields.push((cells[3].to_owned(), offset));
    }
    assert!(heading.ends_with(&format!(": {end} bytes")), "{heading}: {end}");
    (fields, end)
}

#[test]
fn records_are_as_specified() {
    assert_eq!(
        table("ArchiveHeader"),
        record!(ArchiveHeader, magic, version, tier, extent_bytes, id, crc)
    );
    let frame_header = record!(
        FrameHeader,
        magic,
        version,
        entry_bytes,
        entry_count,
        archive_id,
        sequence,
        nonce,
        number,
        synced_below,
        wall_min_ns,
        wall_max_ns,
        length,
        crc,
    );
    assert_eq!(table("FrameHeader"), frame_header);
    let entry = record!(
        Entry,
        instance_hash,
        schema_hash,
        incarnation,
        uid,
        part,
        first_series,
        row_count,
        start_ns,
        interval_ns,
        clock_offset_ns,
        series_count,
        tier,
        flags,
        run_offset,
        run_length,
        run_crc,
        layout_offset,
        layout_length,
        layout_crc,
    );
    assert_eq!(table("Entry"), entry);
}
