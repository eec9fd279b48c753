"""How well conditioned the state representation is: fixed banks against trained networks."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from rx_fixedpole import poles as placements
from rx_fixedpole import recurrence
from sims.experiments import equalization as task
from sims.experiments import recording
from sims.experiments.parallel import in_processes
from sims.experiments.record import Parts, Presentation, Record, Result
from sims.plots import COLORS

NETWORKS = {
    "free": "poles learnt, free",
    "stable": "poles learnt, stable",
    "dense": "dense W_rec learnt",
}
FIXED = {"parallel": "fixed ring, parallel basis", "orthonormal": "fixed ring, orthonormal basis"}
RADIUS = 0.7
LARGEST = 1e15  # beyond it a condition number is rounding


def settings(*, quick: bool) -> dict[str, Any]:
    """Return sizes and budgets."""
    return {
        "revision": 1,
        "size": 8 if quick else 16,
        "num_slots": 4 if quick else 20,
        "num_pilots": 128 if quick else 256,
        "snr_db": 20,
        "num_steps": 60 if quick else 600,
        "optimizer": "adam",
        "rate": 0.01,
    }


def compute(settings: Mapping[str, Any], *, seed: int, parts: Parts) -> Result:
    """Train every network, and look at fixed banks on the same slots."""
    keys = [{**settings, "kind": kind, "seed": seed} for kind in NETWORKS]
    courses = in_processes(parts, keys, observe)
    slots = _slots({**settings, "seed": seed})
    fixed = {basis: _fixed(slots, settings["size"], basis) for basis in FIXED}
    return Result({"trained": dict(zip(NETWORKS, courses, strict=True)), "fixed": fixed})


def observe(key: Mapping[str, Any]) -> dict[str, Any]:
    """Quartiles over slots of the states' condition number while a network is trained."""
    course = recording.run(
        key["kind"], key["size"], key["optimizer"], key["rate"],
        slots=_slots(key), num_steps=key["num_steps"], every=max(1, key["num_steps"] // 30),
        seed=key["seed"],
    )  # fmt: skip
    looks = range(len(course.epochs))
    values = np.array([_conditions(recording.states(course, i)) for i in looks])
    return {"epochs": course.epochs, "quartiles": np.percentile(values, [25, 50, 75], axis=1)}


def _slots(key: Mapping[str, Any]) -> task.Slots:
    return task.draw(
        key["seed"] + np.arange(key["num_slots"]),
        np.full(key["num_slots"], key["snr_db"]),
        num_pilots=key["num_pilots"],
        delay=key["size"] // 2,
    )


def _fixed(slots: task.Slots, size: int, basis: str) -> np.ndarray:
    """Quartiles over slots for fixed poles on a ring."""
    u = tf.constant(slots.u[:, : len(slots.rows)])
    states: tf.Tensor = recurrence.states(u, placements.ring(size, RADIUS), basis=basis)
    return np.percentile(_conditions(states.numpy()[:, task.WARM_UP :]), [25, 50, 75])


def _conditions(states: np.ndarray) -> np.ndarray:
    """Condition number ``[B]`` of the Gram matrix of states ``[B, P, H]``, scaled to a unit
    diagonal; the largest one that can be told where it is beyond."""
    scaled = states / np.linalg.norm(states, axis=1, keepdims=True)
    if not np.all(np.isfinite(scaled)):
        scaled = np.nan_to_num(scaled)
    values = np.linalg.svd(scaled, compute_uv=False)
    with np.errstate(divide="ignore"):
        return np.minimum((values[:, 0] / values[:, -1]) ** 2, LARGEST)


def present(record: Record) -> Presentation:
    """Draw condition numbers over epochs, fixed banks as horizontal lines."""
    figure = Figure(figsize=(8.5, 5.4), layout="constrained")
    axes = figure.subplots()
    for index, (kind, label) in enumerate(NETWORKS.items()):
        course = record.data["trained"][kind]
        low, middle, high = course["quartiles"]
        axes.plot(course["epochs"], middle, color=COLORS[index], label=label)
        axes.fill_between(course["epochs"], low, high, color=COLORS[index], alpha=0.15, linewidth=0)
    for line, (basis, label) in zip("-:", FIXED.items(), strict=True):
        low, middle, high = record.data["fixed"][basis]
        axes.axhline(middle, color="black", linestyle=line, label=label)
        axes.axhspan(low, high, color="black", alpha=0.08, linewidth=0)
    axes.set_yscale("log")
    axes.set_xlabel("Epoch (step of Adam)")
    axes.set_ylabel("Condition number of the states' Gram matrix")
    axes.grid(True, color="0.9")
    axes.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
    return Presentation(_caption(record), figure)


def _caption(record: Record) -> str:
    budget = record.settings["budget"]
    at_end = ", ".join(
        f"{label} {record.data['trained'][kind]['quartiles'][1][-1]:.2g}"
        for kind, label in NETWORKS.items()
    )
    fixed = ", ".join(f"{label} {record.data['fixed'][b][1]:.3g}" for b, label in FIXED.items())
    text = f"""\
        How well conditioned the states are from which a readout is computed: condition number of
        their Gram matrix over {budget["num_pilots"]} pilots of a slot, scaled to a unit diagonal,
        for
        {budget["size"]} states at {budget["snr_db"]} dB. Lines are medians over
        {budget["num_slots"]} slots, bands run from the first to the third quartile. Fixed banks
        (black) need no epoch: {fixed}. Trained by Adam (rate {budget["rate"]:g}) from random poles,
        or a random matrix, of radius {recording.RADIUS:g}, at the end: {at_end}. The received
        signal is
        coloured by the channel, so that even the orthonormal basis is not perfectly conditioned.
        Values are cut at {LARGEST:.0e}. Seed {record.settings["seed"]}."""
    return textwrap.fill(" ".join(text.split()), 100)
