"""What the pictures of the documentation have in common: how values are spoken, ticks, and small files. Needs matplotlib."""

import math

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator
from PIL import Image

plt.rcParams.update({"font.size": 7, "axes.spines.top": False, "axes.spines.right": False})

PREFIXES = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n")]
BINARY = [(2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B")]
AFTER = {"s": "s", "ops": " /s", "cps": " /s", "iops": " /s", "reqps": " /s"}


def spoken(value, unit):
    """A value with its unit, as short as Grafana's."""
    if value is None or not math.isfinite(value):
        return ""
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "dtdurations":
        return f"{value // 60:.0f} min {value % 60:.0f} s" if value >= 60 else f"{value:.0f} s"
    if unit in ("bytes", "Bps"):
        size, prefix = next((one for one in BINARY if abs(value) >= one[0]), BINARY[-1])
        digits = ".0f" if abs(value) >= 1000 * size else ".3g"
        return f"{value / size:{digits}} {prefix}{'/s' if unit == 'Bps' else ''}"
    after = AFTER.get(unit, "")
    if unit == "s" and abs(value) >= 1 or value == 0:
        return f"{value:.3g}{' ' if unit == 's' else ''}{after}"
    size, prefix = next((one for one in PREFIXES if abs(value) >= one[0] * 0.9999), PREFIXES[-1])
    if unit == "short" and abs(value) < 1:
        return f"{value:.2g}"
    return f"{value / size:.3g}{' ' if unit == 's' else ''}{prefix}{after}"


def speak(axis, unit):
    """Values of an axis with their unit."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: spoken(value, unit)))


class BinaryLocator(MaxNLocator):
    """Ticks at whole numbers of KiB or MiB, not of thousands."""

    def tick_values(self, vmin, vmax):
        size = next((size for size, _ in BINARY if abs(vmax) >= 2 * size), 1)
        return super().tick_values(vmin / size, vmax / size) * size


def ticks(unit):
    return BinaryLocator(4) if unit in ("bytes", "Bps") else MaxNLocator(4)


def save(figure, path):
    """Lines and letters need no more than 200 colours."""
    figure.canvas.draw()
    drawn = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")
    drawn.quantize(200).save(path, optimize=True)
