"""A reader of rondo slabs, format 1.x (see slab.md), in plain Python.

    with Slab(path) as slab:
        view = slab.look()
        for series in slab.series:
            for sample in series.range(view):
                print(series.name, sample)

All that is constant is copied out of the mapping before it is checked, so that a writer cannot change
it between the check and the use. What remains is a writer that shrinks its file: touching the lost
pages kills the process (SIGBUS). And Python has no fences: on processors other than x86-64 a torn
value can pass for a whole one (slab.md, section 16).
"""

import fcntl
import json
import math
import mmap
import os
import re
import stat
import struct
import sys
import time
from dataclasses import dataclass, field

LIMIT = 16 << 20  # the file size that readers accept unless told otherwise
SENTINEL = 0x7FF8524F4E444F31
BUSY = 2**64 - 1
INSTANTS = 2**63  # no instant lies beyond
ATTEMPTS = 64
TEXTS = 16 << 20  # bytes of all texts of all series together

IDENTITY, TIERS, SERIES, STRINGS, POINTS, DISTRIBUTIONS, CELLS, BUCKETS, LIVE = range(1, 10)
GAUGE, COUNTER, DISTRIBUTION, HISTOGRAM = range(1, 5)
KINDS = {GAUGE: "gauge", COUNTER: "counter", DISTRIBUTION: "distribution", HISTOGRAM: "histogram"}
SHARED = 3

INSTANCE_NAME = re.compile(rb"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}")
SCHEMA_NAME = re.compile(rb"[A-Za-z0-9_-]{1,32}")
SERIES_NAME = re.compile(rb"[A-Za-z_:][A-Za-z0-9_:]{0,199}")
LABEL_NAME = re.compile(rb"(?!__)[A-Za-z_][A-Za-z0-9_]{0,127}")
TAKEN_LABELS = {b"instance", b"schema", b"incarnation", b"job", b"le", b"quantile"}
CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f]")


class Rejected(Exception):
    """The slab breaks a rule of slab.md, section 14."""

    def __init__(self, rule, why):
        super().__init__(f"{rule}: {why}")
        self.rule = rule
        self.why = why


class Torn(Exception):
    """The slot was changed each time it was looked at, or its writer died in the middle of a write."""


def rule(name, holds, why):
    if not holds:
        raise Rejected(name, why)


@dataclass(frozen=True)
class Section:
    kind: int
    record_count: int
    offset: int
    length: int
    record_size: int

    @property
    def end(self):
        return self.offset + self.length

    def contains(self, offset, length):
        return self.offset <= offset and offset + length <= self.end

    def has_record_at(self, offset):
        index, rest = divmod(offset - self.offset, self.record_size)
        return rest == 0 and 0 <= index < self.record_count


@dataclass(frozen=True)
class View:
    """What holds for all series read at one time."""

    start_ns: int  # the window; both 0 if the cursor is
    end_ns: int
    cursor_ns: int
    ticked_ns: int
    complete_ns: float  # intervals that end later are partial
    clock_offset_ns: int
    life: str  # "live", "closed" or "dead"


@dataclass
class Sample:
    """One interval of one series; which values it has depends on the kind of the series."""

    t: int
    values: dict = field(default_factory=dict)
    torn: bool = False
    filled: bool = False
    partial: bool = False

    def json(self):
        flags = {flag: True for flag in ("torn", "filled", "partial") if getattr(self, flag)}
        return {"t": self.t, **self.values, **flags}


class Series:
    def __init__(self, slab, kind, record, record_offset):
        self.slab = slab
        self.kind = kind
        self.record_offset = record_offset
        self.access, self.bucket_precision = record[1], record[2]
        self.slot_size, self.column_offset, self.registered_ns = struct.unpack_from("<IQQ", record, 4)
        self.cell_offset, self.buckets_offset, self.bucket_count = struct.unpack_from("<QQI", record, 96)
        name, unit, help_text, self.raw_labels = (slab._text(record, at) for at in (32, 48, 64, 80))
        rule("series-name", SERIES_NAME.fullmatch(name), "a name is not valid")
        rule("series-name", len(unit) <= 32, "a unit is too long")
        rule("series-name", len(help_text) <= 1024, "a help is too long")
        self.text_bytes = len(name) + len(unit) + len(help_text) + len(self.raw_labels)
        self.name = name.decode()
        self.unit = decode("series-name", unit)
        self.help = decode("series-name", help_text)
        self.labels = decode_labels("series-name", self.raw_labels)
        self.is_point = kind in (GAUGE, COUNTER)
        self.is_shared = self.access == SHARED and self.is_point
        self._check_place()

    def _check_place(self):
        slab, unit = self.slab, 16 if self.is_point else 64
        columns = slab.sections[POINTS if self.is_point else DISTRIBUTIONS]
        rule(
            "series-place",
            self.slot_size >= unit
            and self.slot_size % unit == 0
            and self.slot_size * slab.slot_count <= columns.record_size,
            "the slot size is wrong",
        )
        rule("series-place", columns.has_record_at(self.column_offset), "the column is misplaced")
        has_cell = not self.is_shared or slab.sections[CELLS].has_record_at(self.cell_offset)
        rule("series-place", has_cell, "the cell is misplaced")
        if self.kind != HISTOGRAM:
            rule(
                "series-place",
                not (self.bucket_precision or self.bucket_count or self.buckets_offset),
                "it has buckets but is no histogram",
            )
            return
        rule("series-place", self.bucket_precision <= 6, "the bucket precision is beyond 6")
        # Beyond the upper limit, buckets would start beyond 2^64.
        most = (65 - self.bucket_precision) << self.bucket_precision
        rule("series-place", 2 <= self.bucket_count <= most, "the bucket count is wrong")
        rule(
            "series-place",
            self.buckets_offset % 8 == 0
            and slab.sections[BUCKETS].contains(self.buckets_offset, 8 * self.bucket_count),
            "the buckets are misplaced",
        )

    def spans(self):
        """What no other series may have. Columns and cells start on records: other ones are apart."""
        yield self.column_offset, self.column_offset + 1
        if self.is_shared:
            yield self.cell_offset, self.cell_offset + 1
        if self.kind == HISTOGRAM:
            yield self.buckets_offset, self.buckets_offset + 8 * self.bucket_count

    @property
    def ended_ns(self):
        """0 while the thing measured is there, otherwise the slab time at which it went away."""
        return self.slab._word(self.record_offset + 24)

    # The two loops of section 11.3, but for whatever interval the slot holds. The caller compares:
    # that way one loop serves those who look for an interval and those who look for the newest one.

    def _read_point(self, at):
        words, floats = self.slab._words, self.slab._floats
        for _ in range(ATTEMPTS):
            stamp = words[at]
            if stamp == BUSY:
                continue
            value = (words if self.kind == COUNTER else floats)[at + 1]
            if words[at] == stamp:
                return Sample(stamp, {"value": value})
        raise Torn

    def _read_distribution(self, at):
        words, floats = self.slab._words, self.slab._floats
        for _ in range(ATTEMPTS):
            sequence = words[at]
            if sequence % 2:
                continue
            stamp, count = words[at + 1], words[at + 2]
            total, least, most, last = floats[at + 3], floats[at + 4], floats[at + 5], floats[at + 6]
            if words[at] == sequence:
                return Sample(stamp, {"count": count, "sum": total, "min": least, "max": most, "last": last})
        raise Torn

    def _read_slot(self, index):
        """What the slot holds, or None. A stamp that cannot be one of this slot counts as none."""
        at = (self.column_offset + index * self.slot_size) // 8
        sample = self._read_point(at) if self.is_point else self._read_distribution(at)
        n, rest = divmod(sample.t, self.slab.interval_ns)
        if 0 < sample.t <= INSTANTS and rest == 0 and n % self.slab.slot_count == index:
            return sample
        return None

    def read(self, t):
        """The sample of the interval that starts at t, or None where it is absent. May raise Torn."""
        held = self._read_slot(t // self.slab.interval_ns % self.slab.slot_count)
        return held if held and held.t == t else None

    def _newest(self, before):
        """The newest present slot that starts before `before`, whatever its lap, or None."""
        newest = None
        for index in range(self.slab.slot_count):
            try:
                held = self._read_slot(index)
            except Torn:
                continue
            if held and held.t < before and (newest is None or held.t > newest.t):
                newest = held
        return newest

    def latest(self, view):
        """The latest value, from the cell if the series is shared, or None if there is none."""
        if self.is_shared:
            word = self.slab._word(self.cell_offset)
            if not view.cursor_ns or (self.kind == GAUGE and word == SENTINEL):
                return None
            value = word if self.kind == COUNTER else struct.unpack("=d", struct.pack("=Q", word))[0]
            latest = Sample(view.cursor_ns, {"value": value})
        else:
            latest = self._newest(BUSY)
        if latest:
            latest.partial = self._is_partial(latest.t, view)
        return latest

    def _is_partial(self, t, view):
        return t + self.slab.interval_ns > view.complete_ns

    def range(self, view):
        """All intervals of the window of which something is known, in order of time."""
        interval, slots = self.slab.interval_ns, self.slab.slot_count
        base = self._base(view)
        registered_ns = self.registered_ns // interval * interval
        last_ns = min(view.ticked_ns, self.ended_ns or BUSY)
        for t in range(view.start_ns, view.end_ns, interval):
            try:
                held = self._read_slot(t // interval % slots)
            except Torn:
                base = None  # and so is what the next ones would follow from
                yield Sample(t, torn=True, partial=self._is_partial(t, view))
                continue
            if held and held.t == t:
                base = self._carried_over(held)
                held.partial = self._is_partial(t, view)
                yield held
            elif held and held.t > t:
                base = None  # overwritten meanwhile, and with it what the next ones would follow from
            elif base and self.kind != GAUGE and registered_ns <= t <= last_ns:
                yield Sample(t, dict(base), filled=True, partial=self._is_partial(t, view))

    def _newest_possible(self, view):
        """Stamp of the newest present slot; the cursor if one is torn, as that may have been newer."""
        newest = self._newest(BUSY)
        for index in range(self.slab.slot_count):
            try:
                self._read_slot(index)
            except Torn:
                return max(view.cursor_ns, newest.t if newest else 0)
        return newest.t if newest else -1

    def _base(self, view):
        """Section 11.4: the values that absent slots at the start of the window stand for, or None."""
        interval = self.slab.interval_ns
        before = self._newest(view.start_ns)
        newest = self._newest_possible(view)  # later, so that the reach holds for what is before
        reach = newest - self.slab.slot_count * interval
        if before and before.t >= reach:
            return self._carried_over(before)
        if self.is_point or self.registered_ns // interval * interval <= reach:
            return None
        return self._carried_over(Sample(0, {"count": 0, "sum": 0.0}))

    def _carried_over(self, sample):
        """What an absent interval that follows has: the totals."""
        if self.is_point:
            return sample.values
        nothing = dict.fromkeys(("min", "max", "last"))
        return {"count": sample.values["count"], "sum": sample.values["sum"], **nothing}

    def buckets(self):
        """(lower, upper, count) of all buckets that are not empty; the last has no upper end.

        Buckets only grow. So they are as of the newest slot, read before them, if they add up to its
        count; otherwise, after a few attempts, each is right by itself.
        """
        first = self.buckets_offset // 8
        for _ in range(4):
            newest = self._newest(BUSY)
            counts = self.slab._words[first : first + self.bucket_count].tolist()
            if sum(counts) == (newest.values["count"] if newest else 0):
                break
        ends = [bucket_start(self.bucket_precision, i) for i in range(self.bucket_count)] + [None]
        return [(ends[i], ends[i + 1], count) for i, count in enumerate(counts) if count]


class Slab:
    """A slab given by its path; it may have any name."""

    def __init__(self, path, limit=LIMIT):
        rule("open", sys.byteorder == "little", "this reader needs a little-endian machine")
        self._fd, self._map, self._words, self._floats = -1, None, None, None
        try:
            self._map_file(path, limit)
            self._check_header()
            self.refresh()
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for view in (self._words, self._floats):
            if view is not None:
                view.release()
        if self._map is not None:
            self._map.close()
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._map, self._words, self._floats = -1, None, None, None

    def _map_file(self, path, limit):
        try:
            # Without O_NONBLOCK, opening a pipe would wait for its other end.
            self._fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            link = os.path.islink(path)
            raise Rejected("file-type" if link else "open", error.strerror) from error
        file = os.fstat(self._fd)
        rule("file-type", stat.S_ISREG(file.st_mode), "not a regular file")
        rule("file-size", file.st_size >= 4096, "less than 4096 bytes")
        rule("file-size", file.st_size <= limit, "beyond the limit")
        rule("file-sparse", file.st_blocks * 512 >= file.st_size, "the file has holes")
        self.size = file.st_size
        self._map = mmap.mmap(self._fd, self.size, access=mmap.ACCESS_READ)
        # Live words are read as items of these views. An item is loaded with one 8-byte move, while
        # struct.unpack_from("<Q") puts a number together from its bytes, and would mix old with new.
        whole = memoryview(self._map)[: self.size // 8 * 8]
        self._words, self._floats = whole.cast("Q"), whole.cast("d")

    def _word(self, offset):
        return self._words[offset // 8]

    def _check_header(self):
        header = self._map[:64]
        magic, major, _, self.slot_count, schema_hash, self.interval_ns = struct.unpack_from("<8sHHIQQ", header)
        incompat, _, self.series_capacity, entries, entry_size, live_offset, file_size = struct.unpack_from(
            "<IIIHHQQ", header, 32
        )
        rule("magic", magic == b"RONDOSLB", "not a slab")
        rule("version", major == 1, "not version 1")
        rule("incompat", incompat == 0, "it needs a feature unknown to this reader")
        rule("file-size", file_size == self.size, "not the size that the header says")
        rule("slot-count", 2 <= self.slot_count <= 1048576, "not 2 to 1048576")
        rule("interval", 1_000_000 <= self.interval_ns <= 86_400_000_000_000, "not 1 ms to 1 day")
        self._check_table(entries, entry_size)
        rule("section-record", 1 <= self.series_capacity <= 65536, "series_capacity is not 1 to 65536")
        self._check_records()
        rule("live-offset", live_offset == self.sections[LIVE].offset, "the live section starts elsewhere")
        self._check_tiers(schema_hash)

    def _check_table(self, entries, entry_size):
        table_end = 64 + entries * entry_size
        rule(
            "section-table",
            1 <= entries <= 64 and entry_size >= 32 and entry_size % 8 == 0 and table_end <= self.size,
            "the section table is not 1 to 64 entries inside the file",
        )
        table, every = self._map[64:table_end], []
        self.sections = {}
        for at in range(0, len(table), entry_size):
            section = Section(*struct.unpack_from("<IIQQI", table, at))
            align = 128 if section.kind in (LIVE, CELLS) else 64
            rule("section-bounds", section.offset % align == 0, "a section is not aligned")
            rule(
                "section-bounds",
                table_end <= section.offset and section.end <= self.size,
                "a section is not between the table and the file's end",
            )
            if section.length:
                apart = all(section.end <= other.offset or other.end <= section.offset for other in every)
                rule("section-bounds", apart, "two sections overlap")
                every.append(section)
            if IDENTITY <= section.kind <= LIVE:
                rule("section-set", section.kind not in self.sections, "a section is there twice")
                self.sections[section.kind] = section
        rule("section-set", len(self.sections) == LIVE, "a section is missing")

    def _check_records(self):
        slots, capacity, any_count = self.slot_count, self.series_capacity, range(2**32)
        records = {  # least size, what it is a multiple of, allowed counts
            IDENTITY: (128, 8, [1]),
            TIERS: (32, 8, range(1, 9)),
            SERIES: (128, 8, [capacity]),
            STRINGS: (1, 1, any_count),
            POINTS: (slots * 16, 64, any_count),
            DISTRIBUTIONS: (slots * 64, 64, any_count),
            CELLS: (128, 128, any_count),
            BUCKETS: (8, 8, any_count),
            LIVE: (384, 8, [1]),
        }
        for kind, (least, multiple, counts) in records.items():
            section = self.sections[kind]
            size = section.record_size
            exactly = kind in (STRINGS, BUCKETS)
            rule(
                "section-record",
                (size == least if exactly else size >= least) and size % multiple == 0,
                "a record size is wrong",
            )
            rule("section-record", section.record_count in counts, "a record count is wrong")
            fits = section.record_count * size <= section.length
            rule("section-record", fits, "the records do not fit their section")

    def _check_tiers(self, schema_hash):
        section = self.sections[TIERS]
        tiers = self._map[section.offset : section.end]
        rule("schema-hash", fnv1a(tiers) == schema_hash, "the header has another hash than the tiers")
        before = self.interval_ns
        for i in range(section.record_count):
            interval, slots = struct.unpack_from("<QQ", tiers, i * section.record_size)
            longer = before + (i > 0) <= interval < 1 << 62
            rule("tiers", longer and interval % before == 0, "an interval is no multiple, or out of range")
            rule("tiers", slots, "a tier keeps nothing")
            itself = (interval, slots) == (self.interval_ns, self.slot_count)
            rule("tiers", i or itself, "tier 0 is not the slab itself")
            before = interval

    def _check_identity(self):
        at = self.sections[IDENTITY].offset
        identity = self._map[at : at + 128]
        incarnation, boot_id, _, _, self.part, flags, monotonic, realtime = struct.unpack_from(
            "<16s16sIIIIQQ", identity
        )
        self.incarnation, self.boot_id = incarnation, boot_id
        present = present_boot()
        is_known = any(boot_id) and present is not None  # otherwise it is neither this boot nor another
        self.is_this_boot = is_known and boot_id == present
        self.is_other_boot = is_known and boot_id != present
        self.is_simulated = bool(flags & 1)
        self.anchor_ns = realtime - monotonic
        rule("identity", any(incarnation), "the incarnation is zero")
        rule("identity", max(monotonic, realtime) < INSTANTS, "an instant is not below 2^63")
        instance, schema, labels = (self._text(identity, at) for at in (64, 80, 96))
        rule("identity", INSTANCE_NAME.fullmatch(instance), "the instance is no valid name")
        rule("identity", SCHEMA_NAME.fullmatch(schema), "the schema is no valid name")
        self.instance, self.schema = instance.decode(), schema.decode()
        self.labels = decode_labels("identity", labels)

    def _text(self, record, at):
        offset, length = struct.unpack_from("<QI", record, at)
        if length == 0:
            return b""
        strings = self.sections[STRINGS]
        rule("text-bounds", strings.contains(offset, length), "a text is not inside the strings section")
        return self._map[offset : offset + length]

    def refresh(self):
        """Takes in the series registered since."""
        live, records = self.sections[LIVE], self.sections[SERIES]
        # The count comes first: the records below it, and their texts, are whole.
        count = self._word(live.offset + 128)
        rule("series-count", count <= self.series_capacity, "more series than the slab has room for")
        self._check_identity()
        series, text_bytes = [], 0
        for i in range(count):
            at = records.offset + i * records.record_size
            record = self._map[at : at + 128]
            if record[0] in KINDS:
                series.append(Series(self, record[0], record, at))
                text_bytes += series[-1].text_bytes
                rule("text-bounds", text_bytes <= TEXTS, "the texts are more than 16 MiB together")
        kinds = {}
        for one in series:
            is_alike = kinds.setdefault(one.name, one.kind) == one.kind
            rule("series-unique", is_alike, "two series of one name have different kinds")
        names = {(one.name, one.raw_labels) for one in series}
        rule("series-unique", len(names) == len(series), "two series have the same name and labels")
        # Columns, cells and buckets lie in sections of their own, so that one sorted list does for all.
        spans = sorted(span for one in series for span in one.spans())
        apart = all(before[1] <= after[0] for before, after in zip(spans, spans[1:]))
        rule("column-shared", apart, "two series have the same column, cell or bucket")
        self.series = series

    def life(self):
        """Whether the writer is there ("live"), has gone in good order ("closed"), or not ("dead")."""
        if not self.is_other_boot:
            ask = struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, 0, 1, 0)
            answer = fcntl.fcntl(self._fd, fcntl.F_OFD_GETLK, ask)
            if struct.unpack_from("h", answer)[0] != fcntl.F_UNLCK:
                return "live"
        return "closed" if self._word(self.sections[LIVE].offset + 152) else "dead"

    def look(self):
        """Call it before reading slots, never after: a slot read while the writer lived, or before it
        ticked, must not pass for the final one. For the same reason the life comes first."""
        live, interval = self.sections[LIVE].offset, self.interval_ns
        life = self.life()
        slab_now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) + self.anchor_ns
        clock_offset = 0
        if self.is_this_boot and not self.is_simulated:
            clock_offset = time.clock_gettime_ns(time.CLOCK_REALTIME) - slab_now
        ticked = self._word(live + 8)
        last = min(self._word(live), INSTANTS) // interval
        cursor = last * interval
        complete = math.inf if life != "live" else cursor if self.is_simulated else slab_now - 10_000_000
        return View(
            start_ns=max(last - self.slot_count + 1, 1) * interval if last else 0,
            end_ns=cursor + interval if last else 0,
            cursor_ns=cursor,
            ticked_ns=ticked,
            complete_ns=complete,
            clock_offset_ns=(clock_offset + interval // 2) // interval * interval,
            life=life,
        )


def decode(name, text):
    """UTF-8 without control characters"""
    try:
        decoded = text.decode()
    except UnicodeDecodeError as error:
        raise Rejected(name, "a text is not UTF-8") from error
    rule(name, not CONTROLS.search(decoded), "a text has control characters")
    return decoded


def decode_labels(rule_name, text):
    labels, before, at = {}, b"", 0
    while at < len(text):
        rule(rule_name, at + 4 <= len(text), "labels are cut short")
        name_length, value_length = struct.unpack_from("<HH", text, at)
        at += 4
        name, value = text[at : at + name_length], text[at + name_length : at + name_length + value_length]
        at += name_length + value_length
        rule(rule_name, at <= len(text), "labels are cut short")
        rule(rule_name, LABEL_NAME.fullmatch(name) and name not in TAKEN_LABELS, "a label's name is not valid")
        rule(rule_name, before < name, "labels are not sorted")
        rule(rule_name, 1 <= value_length <= 1024 and len(labels) < 64, "labels are too long, or empty")
        labels[name.decode()] = decode(rule_name, value)
        before = name
    return labels


def bucket_start(precision, index):
    """Where a bucket starts; it ends where the next one does."""
    if index >> precision < 2:
        return index
    return ((index % (1 << precision)) + (1 << precision)) << ((index >> precision) - 1)


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def present_boot():
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return bytes.fromhex(file.read().strip().replace("-", ""))
    except OSError:
        return None


def finite(value):
    """JSON has no words for infinities and NaN: they become null."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def series_json(series, view):
    latest = series.latest(view)
    answer = {
        "name": series.name,
        "kind": KINDS[series.kind],
        "unit": series.unit,
        "help": series.help,
        "labels": series.labels,
        "registered_ns": series.registered_ns,
        "ended_ns": series.ended_ns or None,
        "latest": finite(latest.json()) if latest else None,
        "points": [finite(sample.json()) for sample in series.range(view)],
    }
    if series.kind == HISTOGRAM:
        answer["buckets"] = series.buckets()
    return answer


def slab_json(path):
    """What json.md describes."""
    with Slab(path) as slab:
        view = slab.look()
        return {
            "instance": slab.instance,
            "schema": slab.schema,
            "instance_labels": slab.labels,
            "incarnation": slab.incarnation.hex(),
            "part": slab.part,
            "interval_ns": slab.interval_ns,
            "start_ns": view.start_ns,
            "end_ns": view.end_ns,
            "clock_offset_ns": view.clock_offset_ns,
            "series": [series_json(series, view) for series in slab.series],
        }


def is_right(series, n, values):
    """Whether a value is one that the test writer can have written in the n-th interval."""
    if series.kind == GAUGE:
        return values["value"] // 1000 == n
    if series.kind == COUNTER:
        return values["value"] // 1_000_000 == n
    count, last = values["count"], values["last"]
    cycles, rest = divmod(count, 1024)  # the i-th sample is i mod 1024
    total = cycles * (1023 * 1024 // 2) + rest * (rest - 1) // 2
    return (
        count > 0
        and last == (count - 1) % 1024
        and values["sum"] == total
        and values["min"] <= last <= values["max"]
    )


def watch(path, seconds):
    """Reads a slab while a test writer fills it as fast as it can, and checks every value by itself."""
    tally = {"rounds": 0, "present": 0, "absent": 0, "torn": 0, "wrong": 0, "first_wrong": None}
    until = time.monotonic() + seconds
    with Slab(path) as slab:
        while time.monotonic() < until:
            slab.refresh()
            view = slab.look()
            for series in slab.series:
                if series.name != "check_" + KINDS[series.kind]:
                    continue
                for t in range(view.start_ns, view.end_ns, slab.interval_ns):
                    try:
                        sample = series.read(t)
                    except Torn:
                        tally["torn"] += 1
                        continue
                    if sample is None:
                        tally["absent"] += 1
                        continue
                    tally["present"] += 1
                    if not is_right(series, t // slab.interval_ns, sample.values):
                        tally["wrong"] += 1
                        tally["first_wrong"] = tally["first_wrong"] or f"{series.name} at {t}: {sample.values}"
            tally["rounds"] += 1
    return tally


def main(arguments):
    match arguments:
        case ["json", path]:
            print(json.dumps(slab_json(path), ensure_ascii=False))
            return 0
        case ["watch", path, seconds]:
            tally = watch(path, float(seconds))
            print(json.dumps(tally))
            return 1 if tally["wrong"] or not tally["present"] else 0
    print("usage: rondo_slab.py json FILE | watch FILE SECONDS", file=sys.stderr)
    return 2


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Rejected as rejected:
        sys.exit(f"{sys.argv[2]}: {rejected}")
