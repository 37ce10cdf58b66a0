#!/usr/bin/env python3
"""Draws a dashboard into a PNG from what a Prometheus answers, for documentation. Not Grafana: only its panels' data.

    render.py DASHBOARD.json PROMETHEUS_URL OUT.png [--range SECONDS] [--end UNIX_TIME] [--rows TITLE,…] [NAME=VALUE …]

NAME=VALUE sets a variable of the dashboard (instance=vm-1); others are their default. Needs matplotlib, which brings numpy and Pillow along.
"""

import argparse
import datetime
import json
import math
import re
import time
import urllib.parse
import urllib.request
from pathlib import Path

from matplotlib.dates import DateFormatter
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, NullLocator

from drawing import plt, save, speak, ticks, spoken

SCRAPE_SECONDS = 15  # as in provisioning/datasources


class Asks:
    """Asks Prometheus as Grafana does, variables put in."""

    def __init__(self, url, dashboard, chosen, start, end):
        self.url, self.start, self.end = url, start, end
        self.values = {"job": ".*", "instance": ".*", "collector": ".*"}
        self.values |= {one["name"]: one["query"] for one in dashboard["templating"]["list"] if one["type"] == "textbox"}
        self.values |= chosen

    def ask(self, target):
        step = int(target.get("interval", f"{SCRAPE_SECONDS}s").removesuffix("s"))
        values = self.values | {"__rate_interval": f"{4 * step}s", "__range": f"{int(self.end - self.start)}s"}
        expr = re.sub(r"\$(\w+)", lambda found: values[found[1]], target["expr"])
        if target.get("instant"):
            path, parameters = "query", {"query": expr, "time": self.end}
        else:
            path, parameters = "query_range", {"query": expr, "start": self.start, "end": self.end, "step": step}
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}", urllib.parse.urlencode(parameters).encode()) as reply:
            found = json.load(reply)["data"]["result"]
        legend = target["legendFormat"]
        return [
            (re.sub(r"{{(\w+)}}", lambda label: one["metric"].get(label[1], ""), legend), _samples(one), step) for one in found
        ]


def _samples(series):
    return [(at, float(value)) for at, value in series.get("values") or [series["value"]]]


def time_of(at):
    return datetime.datetime.fromtimestamp(at, datetime.timezone.utc)


def with_gaps(samples, step):
    """A line breaks where a step has no value."""
    known = dict(samples)
    first, last = samples[0][0], samples[-1][0]
    ats = [first + step * number for number in range(round((last - first) / step) + 1)]
    return [time_of(at) for at in ats], [known.get(at, math.nan) for at in ats]


def draw_timeseries(axes, panel, found, limits):
    unit = panel["fieldConfig"]["defaults"]["unit"]
    custom = panel["fieldConfig"]["defaults"]["custom"]
    if custom["stacking"]["mode"] == "normal" and found:
        step = found[0][2]
        ats = sorted({at for _, samples, _ in found for at, _ in samples})
        layers = [[dict(samples).get(at, 0) for at in ats] for _, samples, _ in found]
        axes.stackplot([time_of(at) for at in ats], layers, labels=[legend for legend, _, _ in found], alpha=0.6, linewidth=0.5)
    else:
        for legend, samples, step in found:
            ats, values = with_gaps(samples, step)
            axes.plot(ats, values, linewidth=1.1, marker=".", markersize=2.5, label=legend)
    is_log = custom["scaleDistribution"]["type"] == "log"
    values = [value for _, samples, _ in found for _, value in samples if math.isfinite(value)]
    if is_log and any(value > 0 for value in values):
        axes.set_yscale("log")
        draw_log_ticks(axes, values)
    else:
        axes.set_ylim(0, (axes.get_ylim()[1] if any(values) else 1))
        axes.yaxis.set_major_locator(ticks(unit))
    speak(axes.yaxis, unit)
    draw_times(axes, limits)
    draw_legend(axes, found)


def draw_log_ticks(axes, values):
    """1, 10, 100; and 2 and 5 of them, where the values span little."""
    positive = [value for value in values if value > 0]
    least, greatest = min(positive), max(positive)
    axes.set_ylim(least / 1.5, greatest * 1.5)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if greatest / least < 300 else (1,), numticks=6))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())


def draw_legend(axes, found):
    if any(legend for legend, _, _ in found):
        height_inches = axes.get_position().height * axes.figure.get_figheight()
        axes.legend(
            loc="upper center",
            bbox_to_anchor=(0.5, -0.14 / height_inches),
            ncols=4,
            fontsize=6,
            frameon=False,
            handlelength=1.2,
            columnspacing=1,
        )


def draw_times(axes, limits):
    axes.set_xlim(*map(time_of, limits))
    axes.xaxis.set_major_formatter(DateFormatter("%H:%M" if limits[1] - limits[0] >= 240 else "%H:%M:%S"))
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.grid(color="#e4e4e4", linewidth=0.5)


def draw_stat(axes, panel, found, _):
    unit = panel["fieldConfig"]["defaults"]["unit"]
    axes.axis("off")
    for number, (legend, samples, _) in enumerate(found):
        x = (number + 0.5) / len(found)
        value = samples[-1][1]
        value = round(value) if panel["fieldConfig"]["defaults"].get("decimals") == 0 else value
        axes.text(
            x, 0.55, spoken(value, unit), ha="center", va="center", fontsize=15, color="#2a7f3f", transform=axes.transAxes
        )
        axes.text(x, 0.12, legend, ha="center", va="center", fontsize=7, transform=axes.transAxes)


def draw_bars(axes, panel, found, _):
    unit = panel["fieldConfig"]["defaults"]["unit"]
    bars = sorted(((samples[-1][1], legend) for legend, samples, _ in found), reverse=True)
    axes.barh([legend for _, legend in bars], [value for value, _ in bars], color="#6aa9d8", height=0.7)
    axes.invert_yaxis()
    axes.xaxis.set_major_locator(ticks(unit))
    speak(axes.xaxis, unit)


def draw_heatmap(axes, panel, found, limits):
    """From cumulative buckets, each a band up to its boundary."""
    boundaries = sorted((math.inf if legend == "+Inf" else float(legend), dict(samples)) for legend, samples, _ in found)
    step = found[0][2] if found else 1
    below, lower = {}, boundaries[0][0] / 4 if boundaries else 0
    greatest = max((value for _, counts in boundaries for value in counts.values()), default=1) or 1
    for upper, counts in boundaries:
        top = upper if math.isfinite(upper) else lower * 4
        for at, count in counts.items():
            if (own := count - below.get(at, 0)) > 0:
                start, end = time_of(at - step), time_of(at)
                axes.fill_between(
                    [start, end], lower, top, color=plt.cm.Oranges(0.15 + 0.85 * math.sqrt(own / greatest)), linewidth=0
                )
        below, lower = counts, top
    axes.set_yscale("log")
    speak(axes.yaxis, "s")
    draw_times(axes, limits)


DRAW = {"timeseries": draw_timeseries, "stat": draw_stat, "bargauge": draw_bars, "heatmap": draw_heatmap}


def chosen_panels(dashboard, rows):
    """Panels of those rows, moved up to where rows that are left out were."""
    kept, lift, row = [], 0, None
    panels = dashboard["panels"]
    ends = [panel["gridPos"]["y"] for panel in panels if panel["type"] == "row"][1:] + [_bottom(panels)]
    ends = iter(ends)
    for panel in panels:
        if panel["type"] == "row":
            row, end = panel, next(ends)
            if rows and row["title"] not in rows:
                lift, row = lift + end - row["gridPos"]["y"], None
        if row:
            kept.append(panel | {"gridPos": panel["gridPos"] | {"y": panel["gridPos"]["y"] - lift}})
    return kept


def _bottom(panels):
    return max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("dashboard", type=Path)
    parser.add_argument("url")
    parser.add_argument("out", type=Path)
    parser.add_argument("--range", type=float, default=900, help="seconds")
    parser.add_argument("--end", type=float, default=time.time(), help="seconds since the Unix epoch")
    parser.add_argument("--rows", default="", help="titles, separated by commas; all without it")
    parser.add_argument("values", nargs="*", help="NAME=VALUE")
    options = parser.parse_intermixed_args()
    dashboard = json.loads(options.dashboard.read_text(encoding="utf-8"))
    limits = (options.end - options.range, options.end)
    asks = Asks(options.url, dashboard, dict(value.split("=", 1) for value in options.values), *limits)

    panels = chosen_panels(dashboard, set(filter(None, options.rows.split(","))))
    columns, lines = 24, _bottom(panels)
    width, height = 13, lines * 0.27
    figure = plt.figure(figsize=(width, height), dpi=90)
    for panel in panels:
        place = panel["gridPos"]
        if panel["type"] == "row":
            figure.text(0.008, 1 - (place["y"] + 0.75) / lines, panel["title"], fontsize=10, weight="bold")
            continue
        left, right, up, down = 1.15 / columns, 0.25 / columns, 1.1 / lines, (0.3 if panel["type"] == "stat" else 1.75) / lines
        axes = figure.add_axes(
            [
                place["x"] / columns + left,
                1 - (place["y"] + place["h"]) / lines + down,
                place["w"] / columns - left - right,
                place["h"] / lines - up - down,
            ]
        )
        found = [series for target in panel["targets"] for series in asks.ask(target)]
        DRAW[panel["type"]](axes, panel, found, limits)
        axes.set_title(panel["title"], fontsize=8, loc="left", pad=4)
        if not found:
            axes.text(0.5, 0.5, "no data", ha="center", transform=axes.transAxes, color="#999999")
    save(figure, options.out)


if __name__ == "__main__":
    main()
