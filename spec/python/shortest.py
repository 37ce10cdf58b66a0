#!/usr/bin/env python3
"""The shortest reader: the newest value of each gauge and counter of slabs.

docs/reading-slabs.md explains it. It trusts the file; rondo_slab.py does not.
"""

import mmap
import struct
import sys

GAUGE, COUNTER = 1, 2
BUSY = 2**64 - 1
TORN = object()


def show(path):
    with open(path, "rb") as file:
        slab = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    words = memoryview(slab).cast("Q")  # one item is one load of 8 bytes

    magic, major, _, slot_count, _, interval_ns, incompat, _, _, section_count, entry_size, live, _ = struct.unpack_from(
        "<8sHHIQQIIIHHQQ", slab
    )
    if (magic, major, incompat) != (b"RONDOSLB", 1, 0):
        sys.exit(f"{path}: not a slab of format 1")
    sections = {}
    for number in range(section_count):
        kind, count, offset, length, record_size = struct.unpack_from("<IIQQI", slab, 64 + number * entry_size)
        sections[kind] = (offset, record_size)

    def read(column, slot_size, t):
        slot = column + t // interval_ns % slot_count * slot_size
        for _ in range(64):
            stamp = words[slot // 8]
            if stamp == BUSY:
                continue
            if stamp != t:
                return None  # absent
            value = words[slot // 8 + 1]
            if words[slot // 8] == stamp:
                return value
        return TORN

    series_offset, series_size = sections[3]
    series_count = words[(live + 128) // 8]
    for number in range(series_count):
        at = series_offset + number * series_size
        kind, _, _, _, slot_size, column = struct.unpack_from("<BBBBIQ", slab, at)
        name_offset, name_length = struct.unpack_from("<QI", slab, at + 32)
        name = slab[name_offset : name_offset + name_length].decode()
        if kind not in (GAUGE, COUNTER):
            continue  # distributions have other slots (section 6.2); kinds that you do not know are skipped

        cursor = words[live // 8]
        for t in range(cursor, max(cursor - slot_count * interval_ns, 0), -interval_ns):
            bits = read(column, slot_size, t)
            if bits is not None and bits is not TORN:
                value = bits if kind == COUNTER else struct.unpack("<d", struct.pack("<Q", bits))[0]
                print(name, value)
                break


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        show(argument)
