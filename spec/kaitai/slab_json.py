"""slab_json.py FILE: prints the JSON of a slab at rest (see json.md) from the parser made of slab.ksy.

The directory that compile.mjs wrote to has to be on PYTHONPATH. Where the bytes are is left to that
parser; here is only what they mean. It is a check of slab.ksy, not a reader for strangers' slabs: it
keeps the rules that the description itself states, and no others.
"""

import json
import math
import struct
import sys
import time

from kaitaistruct import KaitaiStructError
from rondo_slab import RondoSlab

Kind = RondoSlab.SeriesKind
SENTINEL = 0x7FF8524F4E444F31
INSTANTS = 2**63  # no instant lies beyond


def bits(value):
    return struct.unpack("<Q", struct.pack("<d", value))[0] if isinstance(value, float) else value


def number(value):
    """JSON has no words for infinities and NaN: they become null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def labels(text):
    return {pair.name: pair.value for pair in text.list.pairs} if text.length else {}


def text(reference):
    return reference.value or ""


class Column:
    """The slots of a series by the interval that they hold."""

    def __init__(self, slab, series):
        self.slab, self.series = slab, series
        self.is_point = series.kind in (Kind.gauge, Kind.counter)
        self.interval = slab.header.interval_ns
        self.held, self.torn = {}, set()
        for index, slot in enumerate(series.slots):
            n, rest = divmod(slot.stamp, self.interval)
            if slot.stamp == 2**64 - 1 if self.is_point else slot.sequence % 2:
                self.torn.add(index)
            elif 0 < slot.stamp <= INSTANTS and rest == 0 and n % slab.header.slot_count == index:
                self.held[slot.stamp] = self.values(slot)

    def values(self, slot):
        names = ("value",) if self.is_point else ("count", "sum", "min", "max", "last")
        return {name: number(getattr(slot, name)) for name in names}

    def newest(self, before):
        return max((t for t in self.held if t < before), default=None)

    def latest(self, cursor):
        if self.series.access == RondoSlab.Access.shared and self.is_point:
            value = self.series.cell.value
            is_unset = self.series.kind == Kind.gauge and bits(value) == SENTINEL
            return {"t": cursor, "value": number(value)} if cursor and not is_unset else None
        t = self.newest(math.inf)
        return {"t": t, **self.held[t]} if t else None

    def points(self, window):
        slots = self.slab.header.slot_count
        stamps = {t // self.interval % slots: t for t in self.held}
        base = self.base(window)
        for t in window:
            index = t // self.interval % slots
            if index in self.torn:
                base = None
                yield {"t": t, "torn": True}
            elif t in self.held:
                base = self.carried_over(self.held[t])
                yield {"t": t, **self.held[t]}
            elif stamps.get(index, 0) > t:
                base = None
            elif base and self.is_filled(t):
                yield {"t": t, **base, "filled": True}

    def base(self, window):
        """The values that absent slots at the start of the window stand for, or None."""
        lap = self.slab.header.slot_count * self.interval
        newest = self.newest(math.inf) or 0
        if self.torn:
            newest = max(newest, window[-1])  # a torn slot may have been newer than all others
        before, reach = self.newest(window.start), newest - lap
        if before and before >= reach:
            return self.carried_over(self.held[before])
        if self.is_point or self.series.registered_ns // self.interval * self.interval <= reach:
            return None
        return self.carried_over({"count": 0, "sum": 0.0})

    def carried_over(self, values):
        """What an absent interval that follows has: the totals."""
        return values if self.is_point else {**values, "min": None, "max": None, "last": None}

    def is_filled(self, t):
        series, n = self.series, t // self.interval
        has_ended = series.ended_ns and n > series.ended_ns // self.interval
        is_registered = n >= series.registered_ns // self.interval
        return series.kind != Kind.gauge and is_registered and not has_ended and t <= self.slab.live.ticked_ns


def buckets(series):
    def start(index):
        block, rest = divmod(index, 1 << series.bucket_precision)
        return (rest + (1 << series.bucket_precision)) << (block - 1) if block > 1 else index

    counts = series.buckets.counts
    ends = [*map(start, range(len(counts))), None]
    return [[ends[i], ends[i + 1], count] for i, count in enumerate(counts) if count]


def series_json(slab, series, window):
    column = Column(slab, series)
    answer = {
        "name": text(series.name),
        "kind": series.kind.name,
        "unit": text(series.unit),
        "help": text(series.help),
        "labels": labels(series.labels),
        "registered_ns": series.registered_ns,
        "ended_ns": series.ended_ns or None,
        "latest": column.latest(window[-1] if window else 0),
        "points": list(column.points(window)),
    }
    if series.kind == Kind.histogram:
        answer["buckets"] = buckets(series)
    return answer


def clock_offset(identity, interval):
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot_id = bytes.fromhex(file.read().strip().replace("-", ""))
    except OSError:
        return 0
    if identity.boot_id != boot_id or identity.flags.is_simulated:
        return 0
    anchor = identity.created_realtime_ns - identity.created_monotonic_ns
    offset = time.clock_gettime_ns(time.CLOCK_REALTIME) - time.clock_gettime_ns(time.CLOCK_MONOTONIC) - anchor
    return (offset + interval // 2) // interval * interval


def slab_json(slab):
    interval = slab.header.interval_ns
    sections = {section.kind: section.body for section in slab.sections}
    identity = sections[RondoSlab.SectionKind.identity]
    last = min(slab.live.cursor_ns, INSTANTS) // interval
    first = max(last - slab.header.slot_count + 1, 1)
    window = range(first * interval, (last + 1) * interval, interval) if last else range(0)
    return {
        "instance": text(identity.instance),
        "schema": text(identity.schema),
        "instance_labels": labels(identity.labels),
        "incarnation": identity.incarnation.hex(),
        "part": identity.part,
        "interval_ns": interval,
        "start_ns": window.start,
        "end_ns": window.stop,
        "clock_offset_ns": clock_offset(identity, interval),
        "series": [
            series_json(slab, series, window)
            for series in sections[RondoSlab.SectionKind.series].records
            if isinstance(series.kind, Kind)
        ],
    }


def main(arguments):
    if len(arguments) != 1:
        sys.exit("usage: slab_json.py FILE")
    try:
        slab = RondoSlab.from_file(arguments[0])
        print(json.dumps(slab_json(slab), ensure_ascii=False))
    except (KaitaiStructError, EOFError) as error:
        sys.exit(f"{arguments[0]}: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
