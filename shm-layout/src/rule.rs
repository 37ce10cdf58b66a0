//! The rules of the specification's section 14, by the names it gives them.

use core::fmt;

/// What to do with a slab that breaks a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Readers must not use the slab.
    Reject,
    /// `rondo verify` says so.
    Report,
}

macro_rules! rules {
    ($($variant:ident $name:literal $action:ident $text:literal),+ $(,)?) => {
        /// A rule of the format. A test compares names, actions and texts with `spec/slab.md`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Rule { $(#[doc = $text] $variant),+ }

        impl Rule {
            /// All rules, in the order of the specification.
            pub const ALL: &'static [Rule] = &[$(Rule::$variant),+];

            /// Its name in the specification.
            pub fn name(self) -> &'static str {
                match self { $(Rule::$variant => $name),+ }
            }

            /// What to do about a slab that breaks it.
            pub fn action(self) -> Action {
                match self { $(Rule::$variant => Action::$action),+ }
            }

            /// What it demands.
            pub fn text(self) -> &'static str {
                match self { $(Rule::$variant => $text),+ }
            }
        }
    };
}

rules! {
    FileSize "file-size" Reject "the file's size is the header's file_size, at least 4,096, and within the reader's limit (16 MiB unless told otherwise)",
    FileType "file-type" Reject "the file is a regular file, and the last part of its path not a symbolic link",
    FileSparse "file-sparse" Reject "the file occupies at least as much space as its size",
    FileName "file-name" Reject "on a bus, the file's name is the one that its identity gives",
    Magic "magic" Reject "the magic is `RONDOSLB`",
    Version "version" Reject "version_major is 1",
    Incompat "incompat" Reject "no unknown incompat bit is set",
    SlotCount "slot-count" Reject "slot_count is 2 to 1,048,576",
    Interval "interval" Reject "interval_ns is 1 ms to 1 day",
    SectionTable "section-table" Reject "the table has 1 to 64 entries of at least 32 bytes, a multiple of 8, and lies inside the file",
    SectionBounds "section-bounds" Reject "each section is aligned, starts after the table, ends inside the file, and overlaps no other",
    SectionSet "section-set" Reject "each known kind is there exactly once",
    SectionRecord "section-record" Reject "each known section's record size and count are as sections 2.1 and 2.2 say, and its records fit",
    LiveOffset "live-offset" Reject "live_offset is where the live section starts",
    SchemaHash "schema-hash" Reject "schema_hash is the hash of the tiers section",
    Tiers "tiers" Reject "tiers are as section 4 says",
    Identity "identity" Reject "incarnation is not zero; instance and schema are valid names; labels are valid; instants are below 2^63",
    TextBounds "text-bounds" Reject "every text lies inside the strings section; those of all series together are at most 16 MiB",
    SeriesCount "series-count" Reject "series_count is at most series_capacity",
    SeriesName "series-name" Reject "name, unit, help and labels are valid texts",
    SeriesPlace "series-place" Reject "slot_size, column, cell, bucket_precision, bucket_count and buckets are as section 5 says and inside their sections",
    SeriesUnique "series-unique" Reject "no two series have the same name and labels, nor two series of one name different kinds",
    ColumnShared "column-shared" Reject "no two series have the same column or cell, nor overlapping buckets",
    Access "access" Report "access is 1 to 3; only gauges and counters are shared",
    SeriesTime "series-time" Report "registered_ns is not 0; ended_ns is 0 or at least registered_ns",
    Cursor "cursor" Report "cursor_ns and ticked_ns are multiples of the interval, and ticked_ns is at most cursor_ns",
    Stamp "stamp" Report "every stamp is 0, busy, or a multiple of the interval in its own slot, at most cursor_ns",
    Unwritten "unwritten" Report "a slot with stamp 0 holds the sentinel in its value words",
    Value "value" Report "gauges are not NaN; counters, counts and sums of histograms do not fall; min ≤ last ≤ max; every number of a distribution is finite",
    Histogram "histogram" Report "in a slab without a live writer, the buckets add up to the newest count, give or take one sample; if a slot of the column is torn or the slab was reopened, to no less than it, less one sample for each life of the writer",
    Stride "stride" Report "strides of points and distributions are an odd number of lines",
    Reserved "reserved" Report "reserved bytes are zero; functions, flags and compat have no unknown bits",
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A rule that a slab breaks, and how.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{rule}: {detail}")]
pub struct Violation {
    /// Which rule.
    pub rule: Rule,
    /// The values found.
    pub detail: String,
}

impl Violation {
    /// `rule` broken as `detail` says.
    pub fn new(rule: Rule, detail: impl Into<String>) -> Self {
        Self {
            rule,
            detail: detail.into(),
        }
    }
}
