"""A reader of rondo stores, format 1 (see store.md), in plain Python.

    for archive in open_store(directory):
        for run in archive.runs():
            print(run["instance"], run["start_ns"], run["series"])

It reads a store at rest, or one that is being written: what is not whole is left out.
"""

import json
import os
import re
import struct
import sys

SENTINEL = 0x7FF8524F4E444F31
MASK = 2**64 - 1
BLOCK = 4096
HEAD = 2 * BLOCK
CELLS = 2**20
BUCKET_BYTES = 2**24

HEAD_RECORD = struct.Struct("<8sHHI16sI")
FRAME_HEADER = struct.Struct("<8sHHI16sQQQQqqII")
ENTRY = struct.Struct("<QQ16sIIIIQQqHBBIIIIII")

KINDS = {1: "gauge", 2: "counter", 3: "distribution", 4: "histogram"}
COLUMNS = {1: "total", 2: "sum", 4: "min", 8: "max", 16: "last"}
INTEGER = 7

INSTANCE_NAME = re.compile(rb"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}")
SCHEMA_NAME = re.compile(rb"[A-Za-z0-9_-]{1,32}")
SERIES_NAME = re.compile(rb"[A-Za-z_:][A-Za-z0-9_:]{0,199}")
LABEL_NAME = re.compile(rb"(?!__)[A-Za-z_][A-Za-z0-9_]{0,127}")
TAKEN_LABELS = {b"instance", b"schema", b"incarnation", b"job", b"le", b"quantile"}
CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f]")


class Damaged(Exception):
    """Bytes that break a rule of store.md."""


def require(holds, why):
    if not holds:
        raise Damaged(why)


def crc_table():
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        yield byte


CRC_TABLE = list(crc_table())


def crc32c(data, before=0):
    """The CRC32C of `data`, behind bytes whose CRC32C is `before`."""
    crc = before ^ 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def fnv1a_64(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & MASK
    return value


class Input:
    """Bytes taken from the front."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def take(self, length):
        require(self.at + length <= len(self.data), "a block ends too early")
        self.at += length
        return self.data[self.at - length : self.at]

    def u8(self):
        return self.take(1)[0]

    def u64(self):
        return int.from_bytes(self.take(8), "little")

    def varint(self, most=MASK):
        value = 0
        for shift in range(0, 70, 7):
            byte = self.u8()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                require(value <= most, "a number is too great")
                return value
        raise Damaged("a number does not end")

    def signed(self):
        value = self.varint()
        return value >> 1 if value % 2 == 0 else -(value >> 1) - 1

    def packed(self, count, width):
        """Numbers of equal width, without gaps."""
        bits = int.from_bytes(self.take((count * width + 7) // 8), "little")
        mask = (1 << width) - 1
        return [bits >> (width * i) & mask for i in range(count)]

    def bytes(self):
        return self.take(self.varint())

    def text(self, pattern=None):
        data = self.bytes()
        require(pattern is None or pattern.fullmatch(data), "a name is not allowed")
        return plain(data)

    def labels(self):
        data, labels, last = Input(self.bytes()), {}, b""
        while data.at < len(data.data):
            name_length, value_length = struct.unpack("<HH", data.take(4))
            name, value = data.take(name_length), data.take(value_length)
            allowed = LABEL_NAME.fullmatch(name) and name not in TAKEN_LABELS and 1 <= len(value) <= 1024
            require(allowed and name > last, "labels are not allowed")
            labels[plain(name)] = plain(value)
            last = name
        require(len(labels) <= 64, "too many labels")
        return labels

    def end(self):
        require(self.at == len(self.data), "a block goes on after its end")


def plain(data):
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise Damaged("a text is not UTF-8") from None
    require(not CONTROLS.search(text), "a text has control characters")
    return text


def signed64(value):
    """The number of that value modulo 2^64 that an i64 has."""
    return (value + 2**63) % 2**64 - 2**63


# Section 5: layouts.


def parse_layout(data):
    data = Input(data)
    layout = {"tier": data.u8(), "interval_ns": data.varint(), "functions": data.varint(2**32 - 1)}
    count = data.varint()
    require(layout["interval_ns"] >= 1 and count <= 512, "a layout has no interval, or too many series")
    layout["series"] = [parse_series(data) for _ in range(count)]
    data.end()
    return layout


def parse_series(data):
    kind, columns, precision, count = data.u8(), data.u8(), data.u8(), data.varint()
    require(kind in KINDS, "a series is of an unknown kind")
    require(precision <= 6 and count <= (65 - precision) << precision, "a histogram has too many buckets")
    series = {"name": data.text(SERIES_NAME), "kind": KINDS[kind], "unit": data.text(), "help": data.text()}
    series["labels"] = data.labels()
    series["columns"] = [bit for bit in COLUMNS if columns & bit]
    if count:
        series["bucket_precision"], series["bucket_count"] = precision, count
    return series


# Section 7: runs.


def parse_counts(data, rows, before):
    width = data.u8()
    if width == 255:
        require(before is not None, "the first column of counts repeats another")
        return before
    require(width <= 32, "a count is wider than 32 bits")
    least = data.varint(2**32 - 1)
    return [(least + above) % 2**32 for above in data.packed(rows, width)]


def word_of(number, scale):
    if scale == INTEGER:
        return number % 2**64
    return struct.unpack("<Q", struct.pack("<d", float(number) / float(10**scale)))[0]


def parse_words(data, rows):
    tag = data.u8()
    coding, scale = tag & 7, tag >> 3 & 7
    require(tag < 0x80 and coding <= 5 and (scale == 0 or coding in (2, 3)), "a column has an unknown coding")
    is_sentinel = data.packed(rows, 1) if tag & 0x40 else [0] * rows
    words = iter(parse_present(data, coding, scale, rows - sum(is_sentinel)))
    return [SENTINEL if is_one else next(words) for is_one in is_sentinel]


def parse_present(data, coding, scale, count):
    def width():
        width = data.u8()
        require(width <= 64, "a number is wider than 64 bits")
        return width

    match coding:
        case 0:
            return [data.u64() for _ in range(count)]
        case 1:
            return [data.u64()] * count
        case 2:
            bits, base = width(), data.signed()
            return [word_of(signed64(base + above), scale) for above in data.packed(count, bits)]
        case 3:
            bits, number, base = width(), data.signed(), data.signed()
            numbers = [number]
            for above in data.packed(max(count - 1, 0), bits):
                numbers.append(signed64(numbers[-1] + base + above))
            return [word_of(number, scale) for number in numbers[:count]]
        case 4:
            shift, bits = width(), width()
            require(shift + bits <= 64, "a number is wider than 64 bits")
            words = [data.u64()]
            for differing in data.packed(max(count - 1, 0), bits):
                words.append(words[-1] ^ differing << shift)
            return words[:count]
        case 5:
            return [SENTINEL] * count


def parse_buckets(data, rows, count):
    data, buckets, all_rows, size = Input(data.bytes()), [0] * count, [], 0
    for _ in range(rows):
        at = 0
        for _ in range(data.varint()):
            at += data.varint()
            require(at < count, "a histogram has more buckets than its layout says")
            buckets[at] = (buckets[at] + data.signed()) % 2**64
            at += 1
        all_rows.append([[index, value] for index, value in enumerate(buckets) if value])
        size += 2 * len(all_rows[-1])
        require(size <= BUCKET_BYTES, "the buckets of a run are too large")
    data.end()
    return all_rows


def number_of(bit, word):
    """A word as JSON has it."""
    if bit == 1:
        return word
    if word == SENTINEL:
        return None
    value = struct.unpack("<d", struct.pack("<Q", word))[0]
    if value != value:
        return "nan"
    return value if abs(value) != float("inf") else "inf" if value > 0 else "-inf"


def parse_run(data, entry, layout):
    rows = entry.row_count
    cells = sum(1 + len(series["columns"]) for series in layout["series"])
    end_ns = entry.start_ns + rows * entry.interval_ns
    require(rows * cells <= CELLS and end_ns < 2**64, "a run is too long")
    data = Input(data)
    run = {"tier": entry.tier, "interval_ns": entry.interval_ns, "functions": layout["functions"]}
    run |= {"first_series": entry.first_series, "start_ns": entry.start_ns, "clock_offset_ns": entry.clock_offset_ns}
    run["simulated_time"] = data.u8() & 1 == 1
    run |= {"incarnation": entry.incarnation.hex(), "boot_id": data.take(16).hex(), "part": entry.part, "uid": entry.uid}
    run |= {"created_ns": data.varint(), "source_interval_ns": data.varint(), "ended_ns": data.varint()}
    run |= {"instance": data.text(INSTANCE_NAME), "schema": data.text(SCHEMA_NAME), "instance_labels": data.labels()}
    require(fnv1a_64(run["instance"].encode()) == entry.instance_hash, "a run is of another instance")
    run["series"], known = [], None
    for series in layout["series"]:
        known = parse_counts(data, rows, known)
        columns = {COLUMNS[bit]: [number_of(bit, word) for word in parse_words(data, rows)] for bit in series["columns"]}
        one = series | {"known": known, "columns": columns}
        if "bucket_count" in series:
            one["buckets"] = parse_buckets(data, rows, series["bucket_count"])
        run["series"].append(one)
    data.end()
    return run


# Section 4: frames.


class Entry:
    """What a directory says of a run."""

    def __init__(self, data):
        fields = ENTRY.unpack(data)
        self.instance_hash, self.schema_hash, self.incarnation, self.uid, self.part = fields[:5]
        self.first_series, self.row_count, self.start_ns, self.interval_ns, self.clock_offset_ns = fields[5:10]
        self.series_count, self.tier, self.flags = fields[10:13]
        self.run, self.layout = fields[13:16], fields[16:19]


class Frame:
    """A frame whose header and directory are right; None of these where there is none."""

    @staticmethod
    def at(archive, extent, offset):
        head = extent[offset : offset + FRAME_HEADER.size]
        if len(head) < FRAME_HEADER.size:
            return None
        fields = FRAME_HEADER.unpack(head)
        magic, version, entry_bytes, entry_count, archive_id, sequence, nonce, number, synced_below = fields[:9]
        length, crc = fields[11:]
        directory = length - entry_count * ENTRY.size
        if (magic, version, entry_bytes, archive_id) != (b"RONDOFRM", 1, ENTRY.size, archive.id):
            return None
        if directory < FRAME_HEADER.size or offset + length > len(extent):
            return None
        seed = crc32c(struct.pack("<QQ", sequence, nonce), crc32c(archive.id))
        data = extent[offset + directory : offset + length]
        if crc != crc32c(data, crc32c(head[:-4], seed)):
            return None
        frame = Frame()
        frame.offset, frame.end = offset, -(-(offset + length) // BLOCK) * BLOCK
        frame.use, frame.seed, frame.number, frame.synced_below = (sequence, nonce), seed, number, synced_below
        frame.entries = [Entry(data[i : i + ENTRY.size]) for i in range(0, len(data), ENTRY.size)]
        inside = all(at + size <= len(extent) for e in frame.entries for at, size, _ in (e.run, e.layout))
        return frame if inside else None

    def block(self, extent, place):
        offset, length, crc = place
        data = extent[offset : offset + length]
        require(crc32c(data, self.seed) == crc, "a block is not what was written")
        return data

    def is_torn(self, extent):
        try:
            for entry in self.entries:
                self.block(extent, entry.layout)
                self.block(extent, entry.run)
        except Damaged:
            return True
        return False


class Archive:
    """One file of a store."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = file.read()
        for offset in (0, BLOCK):
            head = self.data[offset : offset + HEAD_RECORD.size]
            if head[:8] == b"RONDOARC" and len(head) == HEAD_RECORD.size:
                _, version, self.tier, self.extent_bytes, self.id, crc = HEAD_RECORD.unpack(head)
                if crc == crc32c(head[:-4]):
                    break
        else:
            raise Damaged("no archive, or both copies of its head are damaged")
        require(version == 1, f"format {version}; this reader understands 1")
        size = self.extent_bytes
        require(size & (size - 1) == 0 and 2**14 <= size <= 2**24, f"extents of {size} bytes")
        self.damaged = 0

    def extents(self):
        count = max(0, len(self.data) - HEAD) // self.extent_bytes
        return [self.data[HEAD + i * self.extent_bytes :][: self.extent_bytes] for i in range(count)]

    def frames(self, extent, torn_from=None):
        """Frames of an extent, without torn ones of at least that number."""
        frames, offset = [], 0
        if not any(extent[:BLOCK]):
            return []
        while offset < len(extent):
            frame = Frame.at(self, extent, offset)
            offset += BLOCK
            if frame is None or frames and (frame.use != frames[0].use or frame.number <= frames[-1].number):
                continue
            if torn_from is not None and frame.number >= torn_from and frame.is_torn(extent):
                continue
            frames.append(frame)
            offset = frame.end
        if frames and frames[0].offset != 0 and frames[-1].synced_below <= frames[0].number:
            return []
        return frames

    def runs(self):
        extents = self.extents()
        newest = max((frame for extent in extents for frame in self.frames(extent)), key=lambda f: f.number, default=None)
        uses = {}
        for extent in extents:
            if frames := self.frames(extent, newest and newest.synced_below):
                uses[frames[0].use] = extent, frames
        self.damaged = 0
        for _, (extent, frames) in sorted(uses.items()):
            for frame in frames:
                for entry in frame.entries:
                    try:
                        yield self.run(extent, frame, entry)
                    except Damaged:
                        self.damaged += 1

    def run(self, extent, frame, entry):
        layout = parse_layout(frame.block(extent, entry.layout))
        of_entry = entry.tier, entry.interval_ns, entry.series_count
        fits = (layout["tier"], layout["interval_ns"], len(layout["series"])) == of_entry
        require(fits, "a layout is not that of the run")
        return parse_run(frame.block(extent, entry.run), entry, layout)


def open_store(directory):
    return [Archive(os.path.join(directory, f"tier-{tier}.archive")) for tier in range(3)]


def store_json(directory):
    """What section 9 describes."""
    archives = []
    for archive in open_store(directory):
        runs = list(archive.runs())
        archives.append({"tier": archive.tier, "extent_bytes": archive.extent_bytes, "damaged": archive.damaged, "runs": runs})
    return {"archives": archives}


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] != "json":
        sys.exit("usage: rondo_store.py json DIRECTORY")
    try:
        print(json.dumps(store_json(sys.argv[2]), ensure_ascii=False))
    except Damaged as damaged:
        sys.exit(f"{sys.argv[2]}: {damaged}")
