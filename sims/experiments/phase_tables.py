"""What the phase diagram says in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from sims.experiments.record import Record
from sims.sweep.results import aligned

Array = NDArray[np.float64]
# Letter in the diagram, name. The best of them is chosen slot by slot on held-out pilots.
METHODS = {
    "scratch": ("S", "Adam from random poles"),
    "warm": ("W", "Adam from the ridge solution"),
    "lbfgs": ("L", "L-BFGS from random poles"),
    "varpro": ("V", "variable projection from the ring"),
}
LABELS = {"best": "best on held-out pilots"} | {n: label for n, (_, label) in METHODS.items()}


def log_ratios(errors: Mapping[str, Any], method: str) -> tuple[Array, Array]:
    """Mean of log10(error of a method / error of fixed poles) over slots, and the half-width of
    its 95 % interval (Student's, paired: both on the same slots); ``[poles, pilots, SNR]``."""
    logs = np.log10(np.array(errors[method]) / np.array(errors["fixed"]))
    count = logs.shape[-1]
    spread = logs.std(axis=-1, ddof=1) / np.sqrt(count)
    return logs.mean(axis=-1), student.ppf(0.975, count - 1) * spread


def better_or_worse(record: Record) -> str:
    """Cells in which each method is better, no different, or worse, and its time."""
    errors, seconds = record.data["errors"], record.times["seconds_per_slot"]
    rows = [["method", "better", "no different", "worse", "median ratio", "median time ratio"]]
    for name, label in LABELS.items():
        mean, half = log_ratios(errors, name)
        better, worse = int(np.sum(mean + half < 0)), int(np.sum(mean - half > 0))
        slow = ""
        if name != "best":
            slow = f"{np.median(np.array(seconds[name]) / np.array(seconds['fixed'])):.0f}"
        rows.append(
            [label, str(better), str(mean.size - better - worse), str(worse),
             f"{10 ** np.median(mean):.2f}", slow]
        )  # fmt: skip
    return aligned(rows)


def pilots_to_an_error(record: Record) -> str:
    """Pilots that each method needs for the error of fixed poles with the middle pilot count."""
    budget, errors = record.settings["budget"], record.data["errors"]
    counts, orders = budget["num_pilots"], budget["num_poles"]
    middle = len(counts) // 2
    snr = budget["snr_db"].index(max(s for s in budget["snr_db"] if s <= 20))
    rows = [[f"pilots to the error of fixed poles with {counts[middle]}, "
             f"{budget['snr_db'][snr]} dB", *(f"{order} poles" for order in orders)]]  # fmt: skip
    means = {
        name: np.log(np.array(errors[name])[:, :, snr]).mean(axis=-1) for name in ("fixed", *LABELS)
    }
    for name, label in LABELS.items():
        cells = [_pilots_at(means["fixed"][k, middle], counts, means[name][k])
                 for k in range(len(orders))]  # fmt: skip
        rows.append([label, *cells])
    return aligned(rows)


def _pilots_at(target: float, counts: list[int], logs: Array) -> str:
    """Where a curve of errors over pilots falls below a target for good."""
    above = np.flatnonzero(logs > target)
    if not above.size:
        return f"< {counts[0]}"
    last = int(above[-1])
    if last == len(counts) - 1:
        return f"> {counts[-1]}"
    share = (logs[last] - target) / (logs[last] - logs[last + 1])
    return f"{counts[last] * (counts[last + 1] / counts[last]) ** share:.0f}"
