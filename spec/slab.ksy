meta:
  id: rondo_slab
  title: Rondo slab, format 1
  file-extension: slab
  endian: le
  encoding: UTF-8
doc: |
  One process's measurements in a file that other processes map. This describes where everything is;
  what a slab has to keep to beyond that, and how to read one while it is written, is in slab.md.
  A parser made from this is for slabs at rest: it reads a value without regard to its writer.

  Wherever a record has a size given by the file, it is parsed from a stream of that size: what a later
  version puts behind the fields known here is skipped.
doc-ref: slab.md
seq:
  - id: header
    type: header
  - id: sections
    type: section
    size: header.section_entry_size
    repeat: expr
    repeat-expr: header.section_count
instances:
  live:
    pos: header.live_offset
    type: live
    doc: The live section by the header's shortcut, for the count of series.

types:
  header:
    doc-ref: slab.md section 2.1
    seq:
      - id: magic
        contents: RONDOSLB
      - id: version_major
        type: u2
        valid: 1
      - id: version_minor
        type: u2
      - id: slot_count
        type: u4
        valid:
          min: 2
          max: 1048576
      - id: schema_hash
        type: u8
        doc: FNV-1a 64 of all bytes of the tiers section
      - id: interval_ns
        type: u8
        valid:
          min: 1000000
          max: 86400000000000
      - id: incompat
        type: u4
        valid: 0
        doc: a reader must know every bit that is set, and 1.0 has none
      - id: compat
        type: u4
      - id: series_capacity
        type: u4
        valid:
          min: 1
          max: 65536
      - id: section_count
        type: u2
        valid:
          min: 1
          max: 64
      - id: section_entry_size
        type: u2
        valid:
          min: 32
      - id: live_offset
        type: u8
      - id: file_size
        type: u8
        valid: _root._io.size

  section:
    doc-ref: slab.md section 2.2
    seq:
      - id: kind
        type: u4
        enum: section_kind
      - id: record_count
        type: u4
      - id: offset
        type: u8
      - id: length
        type: u8
      - id: record_size
        type: u4
      - id: reserved
        type: u4
    instances:
      body:
        io: _root._io
        pos: offset
        size: length
        doc: bytes as they are where the kind is unknown
        type:
          switch-on: kind
          cases:
            'section_kind::identity': identity
            'section_kind::tiers': tiers(record_count, record_size)
            'section_kind::series': descriptors(record_size)
            'section_kind::strings': strings
            'section_kind::points': raw_records(record_count, record_size)
            'section_kind::distributions': raw_records(record_count, record_size)
            'section_kind::cells': raw_records(record_count, record_size)
            'section_kind::buckets': buckets(record_count)
            'section_kind::live': live

  identity:
    doc-ref: slab.md section 3
    seq:
      - id: incarnation
        size: 16
      - id: boot_id
        size: 16
        doc: of the kernel; zeros if unknown
      - id: pid
        type: u4
      - id: uid
        type: u4
      - id: part
        type: u4
      - id: flags
        type: identity_flags
        size: 4
      - id: created_monotonic_ns
        type: u8
      - id: created_realtime_ns
        type: u8
      - id: instance
        type: text
      - id: schema
        type: text
      - id: labels
        type: labels
      - id: reserved
        size: 16

  identity_flags:
    meta:
      bit-endian: le
    seq:
      - id: is_simulated
        type: b1
        doc: time is simulated
      - id: reserved
        type: b31

  tiers:
    doc-ref: slab.md section 4
    params:
      - id: record_count
        type: u4
      - id: record_size
        type: u4
    seq:
      - id: records
        type: tier
        size: record_size
        repeat: expr
        repeat-expr: record_count

  tier:
    seq:
      - id: interval_ns
        type: u8
      - id: slot_count
        type: u8
      - id: functions
        type: tier_functions
        size: 4
      - id: reserved
        type: u4
      - id: reserved_tail
        type: u8

  tier_functions:
    doc: with none set, the default of each kind
    meta:
      bit-endian: le
    seq:
      - id: average
        type: b1
      - id: min
        type: b1
      - id: max
        type: b1
      - id: last
        type: b1
      - id: sum
        type: b1
      - id: count
        type: b1
      - id: reserved
        type: b26

  descriptors:
    doc: Only the records in use; the others are room.
    doc-ref: slab.md section 5
    params:
      - id: record_size
        type: u4
    seq:
      - id: records
        type: series
        size: record_size
        repeat: expr
        repeat-expr: _root.live.series_count

  series:
    doc-ref: slab.md section 5
    seq:
      - id: kind
        type: u1
        enum: series_kind
      - id: access
        type: u1
        enum: access
      - id: bucket_precision
        type: u1
      - id: reserved
        type: u1
      - id: slot_size
        type: u4
      - id: column_offset
        type: u8
      - id: registered_ns
        type: u8
      - id: ended_ns
        type: u8
        doc: 0 while the thing measured is there
      - id: name
        type: text
      - id: unit
        type: text
      - id: help
        type: text
      - id: labels
        type: labels
      - id: cell_offset
        type: u8
      - id: buckets_offset
        type: u8
      - id: bucket_count
        type: u4
      - id: reserved_tail
        size: 12
    instances:
      slots:
        io: _root._io
        pos: column_offset
        size: slot_size
        repeat: expr
        repeat-expr: _root.header.slot_count
        doc: the column; bytes as they are where the kind is unknown
        doc-ref: slab.md section 6
        type:
          switch-on: kind
          cases:
            'series_kind::gauge': gauge_slot
            'series_kind::counter': counter_slot
            'series_kind::distribution': distribution_slot
            'series_kind::histogram': distribution_slot
      cell:
        io: _root._io
        pos: cell_offset
        size: 128
        if: access == access::shared and (kind == series_kind::gauge or kind == series_kind::counter)
        type:
          switch-on: kind
          cases:
            'series_kind::gauge': gauge_cell
            'series_kind::counter': counter_cell
      buckets:
        io: _root._io
        pos: buckets_offset
        type: buckets(bucket_count)
        if: kind == series_kind::histogram

  text:
    seq:
      - id: offset
        type: u8
      - id: length
        type: u4
      - id: reserved
        type: u4
    instances:
      value:
        io: _root._io
        pos: offset
        size: length
        type: str
        if: length != 0

  labels:
    doc: A text whose bytes are pairs, one after the other
    doc-ref: slab.md section 5
    seq:
      - id: offset
        type: u8
      - id: length
        type: u4
      - id: reserved
        type: u4
    instances:
      list:
        io: _root._io
        pos: offset
        size: length
        type: label_list
        if: length != 0

  label_list:
    seq:
      - id: pairs
        type: label
        repeat: eos

  label:
    seq:
      - id: name_length
        type: u2
      - id: value_length
        type: u2
      - id: name
        type: str
        size: name_length
      - id: value
        type: str
        size: value_length

  strings:
    doc: What texts refer to; it has no structure of its own.
    seq:
      - id: bytes
        size-eos: true

  raw_records:
    doc: Columns and cells; what is in one is known by the series that it belongs to (`slots`, `cell`).
    params:
      - id: record_count
        type: u4
      - id: record_size
        type: u4
    seq:
      - id: records
        size: record_size
        repeat: expr
        repeat-expr: record_count

  gauge_slot:
    doc-ref: slab.md section 6.1
    seq:
      - id: stamp
        type: u8
      - id: value
        type: f8

  counter_slot:
    doc-ref: slab.md section 6.1
    seq:
      - id: stamp
        type: u8
      - id: value
        type: u8

  distribution_slot:
    doc-ref: slab.md section 6.2
    seq:
      - id: sequence
        type: u8
        doc: odd while being changed
      - id: stamp
        type: u8
      - id: count
        type: u8
      - id: sum
        type: f8
      - id: min
        type: f8
      - id: max
        type: f8
      - id: last
        type: f8
      - id: reserved
        type: u8

  gauge_cell:
    doc-ref: slab.md section 7
    seq:
      - id: value
        type: f8
        doc: the sentinel (a NaN) until first set
      - id: reserved
        size: 120

  counter_cell:
    doc-ref: slab.md section 7
    seq:
      - id: value
        type: u8
      - id: reserved
        size: 120

  buckets:
    doc-ref: slab.md section 10
    params:
      - id: count
        type: u4
    seq:
      - id: counts
        type: u8
        repeat: expr
        repeat-expr: count

  live:
    doc-ref: slab.md section 8
    seq:
      - id: cursor_ns
        type: u8
      - id: ticked_ns
        type: u8
      - id: reserved_line0
        size: 112
      - id: series_count
        type: u8
      - id: writer_pid
        type: u8
      - id: reopen_count
        type: u8
      - id: closed_ns
        type: u8
      - id: reserved_line1
        size: 96
      - id: refused_count
        type: u8
      - id: stale_count
        type: u8
      - id: future_count
        type: u8
      - id: bad_count
        type: u8
      - id: reserved_line2
        size: 96

enums:
  section_kind:
    1: identity
    2: tiers
    3: series
    4: strings
    5: points
    6: distributions
    7: cells
    8: buckets
    9: live
  series_kind:
    1: gauge
    2: counter
    3: distribution
    4: histogram
  access:
    1: owned
    2: writer_held
    3: shared
