#!/usr/bin/env python3
"""Draws what a VM did in each second into a PNG, from what `rondo export` takes out of a store.

    rondo export STORE --tier 0 -f csv -O rows.csv
    phases.py rows.csv OUT.png [--instance NAME]

Without --instance the first machine of the file. A point is what came to a counter in one second; nothing is smoothed. The
background is coloured by the recorded values alone: seconds with requests to a disk, and seconds that the vCPU slept.
Needs matplotlib.
"""

import argparse
import csv
import datetime
import itertools
import json
import math
from collections import defaultdict

from drawing import plt, save, speak, ticks

DISK, IDLE = "#dcebf7", "#eeeeee"
SLEEPS_SHARE = 0.75  # of a second
LEAST_REQUESTS = 10  # booting makes some too
LINES = ["#1f77b4", "#ff7f0e", "#2ca02c", "#9467bd", "#111111", "#d62728", "#8c564b", "#e377c2"]


class Rows:
    """The values of one machine: by name and labels, then by second from its first."""

    def __init__(self, path, instance):
        self.values = defaultdict(dict)
        self.instance = instance
        with open(path, encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                self.instance = self.instance or row["instance"]
                if row["instance"] == self.instance:
                    at = datetime.datetime.fromisoformat(row["time"].replace("Z", "+00:00")).timestamp()
                    self.values[row["name"], row["labels"]][at] = float(row["value"])
        if not self.values:
            raise SystemExit(f"{path} has no rows of the machine {instance or '(any)'}")
        start = min(min(values) for values in self.values.values())
        for key, values in self.values.items():
            self.values[key] = {round(at - start): value for at, value in values.items()}
        self.seconds = range(max(max(values) for values in self.values.values()) + 1)

    def rates(self, name, label):
        """What came to each counter of a name in each second, by one of its labels; counters that never moved are left out."""
        found = defaultdict(lambda: [0.0] * len(self.seconds))
        for (named, labels), totals in self.values.items():
            if named != name:
                continue
            rates = found[json.loads(labels)[label]]
            before = 0.0  # as every counter starts
            for second in self.seconds:
                rates[second] += totals.get(second, before) - before
                before = totals.get(second, before)
        most_first = sorted(found.items(), key=lambda one: -sum(one[1]))
        return {which: rates for which, rates in most_first if any(rates)}

    def means(self, name, label):
        """Mean of the samples of each second, where there were some."""
        counts, sums = self.rates(f"{name}_count", label), self.rates(f"{name}_sum", label)
        return {
            which: [total / count if count else math.nan for total, count in zip(sums[which], counts[which])] for which in counts
        }


def draw(axes, rows, title, lines, unit, is_log=False):
    for (which, values), colour, dashes in zip(lines.items(), itertools.cycle(LINES), itertools.cycle(["-", "-", "-", "--"])):
        axes.plot(rows.seconds, values, dashes, color=colour, marker=".", markersize=3.5, linewidth=1.1, label=which)
    axes.set_title(title, fontsize=8.5, loc="left", pad=4)
    if is_log:
        axes.set_yscale("log")
        axes.minorticks_off()
    else:
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(ticks(unit))
    speak(axes.yaxis, unit)
    axes.grid(color="#dddddd", linewidth=0.5)
    axes.set_axisbelow(True)
    axes.legend(loc="center left", bbox_to_anchor=(1.005, 0.5), frameon=False, fontsize=7.5)


def shade(figure, rows):
    """Colours the seconds by what was recorded in them."""
    requests = [sum(one) for one in zip(*rows.rates("blk_requests_total", "op").values())] or [0] * len(rows.seconds)
    running = rows.rates("vcpu_cpu_time_seconds_total", "vcpu").values()
    running = [sum(one) / len(running) for one in zip(*running)]
    for second in rows.seconds:
        colour = DISK if requests[second] >= LEAST_REQUESTS else IDLE if running[second] < 1 - SLEEPS_SHARE else None
        for axes in figure.axes if colour else ():
            axes.axvspan(second - 0.5, second + 0.5, color=colour, linewidth=0, zorder=0)
    named = [(DISK, f"≥ {LEAST_REQUESTS} requests to a disk"), (IDLE, f"vCPU sleeps ≥ {SLEEPS_SHARE * 100:.0f} %")]
    patches = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour, _ in named]
    figure.legend(patches, [name for _, name in named], loc="upper right", ncols=2, frameon=False, fontsize=7.5)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows")
    parser.add_argument("out")
    parser.add_argument("--instance")
    options = parser.parse_args()
    rows = Rows(options.rows, options.instance)

    figure, panels = plt.subplots(6, 1, sharex=True, figsize=(11, 10.5), dpi=90)
    draw(panels[0], rows, "Exits to the VMM each second, by reason", rows.rates("vcpu_exits_total", "reason"), "ops")
    exits = rows.means("vcpu_exit_duration_seconds", "vcpu")
    draw(panels[1], rows, "Time to handle an exit, mean", {f"vCPU {vcpu}": values for vcpu, values in exits.items()}, "s", True)
    running = {f"vCPU {vcpu}": values for vcpu, values in rows.rates("vcpu_cpu_time_seconds_total", "vcpu").items()}
    draw(panels[2], rows, "Share of the second that the vCPU's thread runs, guest and VMM together", running, "percentunit")
    draw(panels[3], rows, "Requests to the disk each second, by operation", rows.rates("blk_requests_total", "op"), "ops")
    draw(panels[4], rows, "Bytes each second, by direction", rows.rates("blk_bytes_total", "direction"), "Bps")
    draw(panels[5], rows, "Time to serve a request, mean", rows.means("blk_request_duration_seconds", "op"), "s", True)
    panels[-1].set_xlabel("seconds since the machine's first tick")
    panels[-1].set_xlim(-0.5, len(rows.seconds) - 0.5)
    shade(figure, rows)
    figure.suptitle(f"{rows.instance}: {len(rows.seconds)} seconds, as the store has them", x=0.012, ha="left", fontsize=10, weight="bold")
    figure.tight_layout(rect=(0, 0, 1, 0.985), h_pad=0.8)
    save(figure, options.out)


if __name__ == "__main__":
    main()
