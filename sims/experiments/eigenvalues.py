"""Figure 3: where the eigenvalues of W_rec go while it is trained."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from sims.experiments import equalization as task
from sims.experiments import recording
from sims.experiments.parallel import in_processes
from sims.experiments.record import Parts, Presentation, Record, Result
from sims.experiments.training_dynamics import find_rates

EDGES = np.linspace(0.0, 1.5, 61)  # of |lambda|; what is larger counts into the last bin
FACTORS = (1.0, 3.0)  # learning rates, in units of the best one


def settings(*, quick: bool) -> dict[str, Any]:
    """Return sizes and budgets; 32 neurons are the paper's."""
    return {
        "revision": 1,
        "kind": "dense",
        "size": 8 if quick else 32,
        "num_slots": 4 if quick else 8,
        "num_pilots": 128 if quick else 256,
        "snr_db": 20,
        "num_steps": 60 if quick else 600,
        "search_steps": 0 if quick else 200,
        "optimizers": ["sgd", "adam"] if quick else ["sgd", "rmsprop", "adam"],
    }


def compute(settings: Mapping[str, Any], *, seed: int, parts: Parts) -> Result:
    """Train with every method at its best learning rate, and above it."""
    rates = find_rates(settings, seed, parts)
    keys = [
        {**settings, "optimizer": name, "rate": factor * rates[name], "factor": factor,
         "seed": seed}
        for name in settings["optimizers"]
        for factor in FACTORS
    ]  # fmt: skip
    named = ("optimizer", "rate", "factor")
    runs = [
        {**{name: key[name] for name in named}, **course}
        for key, course in zip(keys, in_processes(parts, keys, observe), strict=True)
    ]
    return Result({"runs": runs})


def observe(key: Mapping[str, Any]) -> dict[str, Any]:
    """Train one method and return what share of the eigenvalues is where, ``[epochs, bins]``."""
    slots = task.draw(
        key["seed"] + np.arange(key["num_slots"]),
        np.full(key["num_slots"], key["snr_db"]),
        num_pilots=key["num_pilots"],
        delay=key["size"] // 2,
    )
    course = recording.run(
        key["kind"], key["size"], key["optimizer"], key["rate"],
        slots=slots, num_steps=key["num_steps"], every=max(1, key["num_steps"] // 60),
        seed=key["seed"],
    )  # fmt: skip
    shares, outside, largest, diverged = [], [], [], []
    for index in range(len(course.epochs)):
        matrices = recording.matrices(course, index)
        finite = np.isfinite(matrices).all(axis=(1, 2))
        moduli = np.abs(np.linalg.eigvals(matrices[finite])).reshape(-1)
        # A network that is no longer finite is outside with all it has.
        moduli = np.append(moduli, np.full(int(np.sum(~finite)) * key["size"], EDGES[-1]))
        counts, _ = np.histogram(np.minimum(moduli, EDGES[-1] - 1e-9), EDGES)
        shares.append(counts / moduli.size)
        outside.append(np.mean(moduli > 1))
        largest.append(np.max(moduli))
        diverged.append(np.mean(~finite))
    return {
        "epochs": course.epochs, "shares": shares, "outside": outside, "largest": largest,
        "diverged": diverged,
    }  # fmt: skip


def present(record: Record) -> Presentation:
    """Draw a density for every method and learning rate, and the share outside below it."""
    names = record.settings["budget"]["optimizers"]
    figure = Figure(figsize=(2.2 + 3.6 * len(names), 8.4), layout="constrained")
    panels = figure.subplots(3, len(names), squeeze=False, sharex=True)
    for column, name in zip(panels.T, names, strict=True):
        for row, factor in enumerate(FACTORS):
            (run,) = [
                r for r in record.data["runs"] if (r["optimizer"], r["factor"]) == (name, factor)
            ]
            image = column[row].pcolormesh(
                run["epochs"], (EDGES[1:] + EDGES[:-1]) / 2, np.array(run["shares"]).T,
                cmap="viridis", vmin=0, vmax=0.2, shading="nearest",
            )  # fmt: skip
            column[row].axhline(1.0, color="white", linestyle="--", linewidth=1.0)
            column[row].set_title(f"{recording.LABELS[name]}, rate {run['rate']:g}")
            column[2].plot(run["epochs"], run["outside"], label=f"{factor:g} x the best rate")
        column[2].set_xlabel("Epoch (step of the gradient method)")
        column[2].set_ylim(-0.02, 1.02)
        column[2].grid(True, color="0.9")
    for row in range(2):
        panels[row, 0].set_ylabel("|eigenvalue of W_rec|")
    panels[2, 0].set_ylabel("Share outside the unit circle")
    panels[2, 0].legend()
    figure.colorbar(image, ax=list(panels[:2].ravel())).set_label("Share of eigenvalues in a bin")
    return Presentation(_caption(record), figure)


def _caption(record: Record) -> str:
    budget = record.settings["budget"]
    left = [
        f"{recording.LABELS[run['optimizer']]} at {run['rate']:g}: "
        f"{100 * max(run['outside']):.1f} % outside, {100 * run['diverged'][-1]:.0f} % diverged"
        for run in record.data["runs"]
    ]
    text = f"""\
        Where the eigenvalues of the recurrent matrix W_rec of a linear network with
        {budget["size"]} neurons go while it is trained on {budget["num_pilots"]} pilots at
        {budget["snr_db"]} dB: share of all eigenvalues of {budget["num_slots"]} slots in bins of
        {EDGES[1] - EDGES[0]:g}, over the epochs. All start with a spectral radius of
        {recording.RADIUS:g}; dashed: the unit circle, outside of which the network is not stable.
        First row: every method at the learning rate that is best on other slots; second row: at
        {FACTORS[1]:g} times that rate; third row: the share outside the circle. A network that is
        no longer finite counts with all its eigenvalues as outside, in the topmost bin. Most that
        was outside at any epoch, and networks that had diverged at the last: {"; ".join(left)}.
        At rates that train, eigenvalues approach the circle and stay inside: a mode outside grows
        over the pilots, dominates the loss, and its gradient drives it back. At larger rates
        that gradient throws the network off instead, in a few steps. The "stable" parametrization
        of the receivers rules both out. Seed {record.settings["seed"]}."""
    return textwrap.fill(" ".join(text.split()), 100)
