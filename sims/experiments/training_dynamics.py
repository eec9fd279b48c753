"""Figure 2: loss, gradient and conditioning over the epochs of BPTT, for every gradient method."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.signal import lfilter

from rx_fixedpole import poles as placements
from sims.experiments import equalization as task
from sims.experiments import recording
from sims.experiments.parallel import in_processes
from sims.experiments.record import Parts, Presentation, Record, Result
from sims.plots import COLORS
from sims.sweep.results import aligned

Array = NDArray[np.float64]
ROWS = {
    "loss": "Training loss",
    "gradient": "Norm of the gradient",
    "recurrent": "Condition number of W_rec",
    "hessian": "Condition number of the loss Hessian",
}
# Where squares of double precision end: a larger condition number is no number.
LARGEST = 1e30


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
        "optimizers": ["sgd", "adam"] if quick else list(recording.RATES),
    }


def compute(settings: Mapping[str, Any], *, seed: int, parts: Parts) -> Result:
    """Find every method's learning rate on other slots, then train on complex and real data."""
    rates = find_rates(settings, seed, parts)
    keys = [
        {**settings, "optimizer": optimizer, "rate": rates[optimizer], "real": real, "seed": seed}
        for optimizer in settings["optimizers"]
        for real in (False, True)
    ]
    courses = in_processes(parts, keys, observe)
    runs = [
        {"optimizer": key["optimizer"], "real": key["real"], **course}
        for key, course in zip(keys, courses, strict=True)
    ]
    return Result({"rates": rates, "runs": runs})


def find_rates(settings: Mapping[str, Any], seed: int, parts: Parts) -> dict[str, float]:
    """Return the best learning rate of every method on slots that are not looked at again."""
    if not settings["search_steps"]:
        return {name: recording.RATES[name][1] for name in settings["optimizers"]}
    keys = [
        {**settings, "num_steps": settings["search_steps"], "optimizer": name, "rate": rate,
         "seed": seed, "search": True}
        for name in settings["optimizers"]
        for rate in recording.RATES[name]
    ]  # fmt: skip
    scores = dict.fromkeys(settings["optimizers"], np.inf)
    best = {}
    for key, score in zip(keys, in_processes(parts, keys, recording.search_rate), strict=True):
        if score < scores[key["optimizer"]]:
            scores[key["optimizer"]], best[key["optimizer"]] = score, key["rate"]
    return best


def observe(key: Mapping[str, Any]) -> dict[str, Any]:
    """Train one method and return medians and quartiles over slots, ``[3, epochs]`` each."""
    slots = task.draw(
        key["seed"] + np.arange(key["num_slots"]),
        np.full(key["num_slots"], key["snr_db"]),
        num_pilots=key["num_pilots"],
        delay=key["size"] // 2,
        real=key["real"],
    )
    course = recording.run(
        key["kind"], key["size"], key["optimizer"], key["rate"],
        slots=slots, num_steps=key["num_steps"], every=max(1, key["num_steps"] // 30),
        seed=key["seed"],
    )  # fmt: skip
    looks = range(len(course.epochs))
    recurrent = np.array([[_condition(m) for m in recording.matrices(course, i)] for i in looks])
    ridge = task.fixed_loss(slots, placements.ring(key["size"], 0.7))
    return {
        "epochs": course.epochs,
        "loss": _quartiles(course.training.losses[:, 0].numpy()),
        "gradient": _quartiles(course.training.gradient_norms.numpy()),
        "recurrent": _quartiles(recurrent),
        "hessian": _quartiles(np.array([hessian_conditions(course, i) for i in looks])),
        "ridge": float(np.median(ridge)),
    }


def hessian_conditions(course: recording.Course, index: int) -> Array:
    r"""Condition number ``[B]`` of the loss Hessian in the coordinates of the eigenvalues.

    A linear network is a bank whose poles are the eigenvalues of W_rec, so the output is
    sum_k b_k s_k[n], and with J_nk = b_k ds_k[n] / dp_k over the pilots the Gauss-Newton Hessian
    is 2 / P J^H J, the Hessian itself where the error vanishes.
    """
    weights = course.weights[index]
    matrices = recording.matrices(course, index)
    inputs, readout = (
        pair[0].numpy() + 1j * pair[1].numpy()
        for pair in (weights.recurrent.input_weights, weights.readout)
    )
    return np.array(
        [
            _hessian_condition(course.slots.u[b, : len(course.slots.rows), 0], *system)
            for b, system in enumerate(zip(matrices, inputs[:, 0], readout[..., 0], strict=True))
        ]
    )


def _hessian_condition(u: Array, matrix: Array, inputs: Array, readout: Array) -> float:
    if not np.all(np.isfinite(matrix)):
        return np.nan
    poles, vectors = np.linalg.eig(matrix)
    gains = (inputs @ vectors) * np.linalg.solve(vectors, readout)
    slopes = [lfilter([0, 1], [1, -2 * p, p * p], u.astype(np.complex128)) for p in poles]
    jacobian = gains * np.stack(slopes, axis=1)[task.WARM_UP :]
    if not np.all(np.isfinite(jacobian)):
        return np.nan
    return _condition(jacobian) ** 2


def _condition(matrix: Array) -> float:
    if not np.all(np.isfinite(matrix)):
        return np.nan
    values = np.linalg.svd(matrix, compute_uv=False)
    return float(values[0] / values[-1]) if values[-1] > 0 else np.nan


def _quartiles(values: Array) -> Array:
    """Quartiles over slots ``[3, epochs]`` of ``[epochs, B]``; NaN where no slot has a number."""
    values = np.where(np.isfinite(values) & (values < LARGEST), values, np.nan)
    result = np.full((3, len(values)), np.nan)
    known = np.isfinite(values).any(axis=1)
    result[:, known] = np.nanpercentile(values[known], [25, 50, 75], axis=1)
    return result


def present(record: Record) -> Presentation:
    """Draw a column for complex and one for real data, a row for each quantity."""
    figure = Figure(figsize=(11, 13), layout="constrained")
    panels = figure.subplots(len(ROWS), 2, sharex=True, sharey="row")
    for column, real in zip(panels.T, (False, True), strict=True):
        runs = [run for run in record.data["runs"] if run["real"] is real]
        for axes, (name, label) in zip(column, ROWS.items(), strict=True):
            _draw(axes, runs, name)
            axes.set_ylabel(label)
        column[0].set_title("real data: BPSK" if real else "complex data: QPSK")
        column[0].axhline(runs[0]["ridge"], color="black", linestyle=":", label="fixed ring, ridge")
        column[-1].set_xlabel("Epoch (step of the gradient method)")
    panels[0, 1].legend(loc="upper right")
    return Presentation(_caption(record), figure, _table(record))


def _draw(axes: Axes, runs: list[dict[str, Any]], name: str) -> None:
    for index, run in enumerate(runs):
        low, middle, high = np.array(run[name], dtype=float)
        epochs = run["epochs"] if len(run["epochs"]) == len(middle) else np.arange(len(middle))
        color, label = COLORS[index], recording.LABELS[run["optimizer"]]
        axes.plot(epochs, middle, color=color, label=label, linewidth=1.4)
        axes.fill_between(epochs, low, high, color=color, alpha=0.15, linewidth=0)
    axes.set_yscale("log")
    if name == "loss":
        axes.set_ylim(1e-3, 1e1)  # what diverges leaves at the top
    axes.grid(True, color="0.9")


def _excess(record: Record) -> str:
    """How much larger the Hessian's condition number is, from the least to the most."""
    ratios = []
    for run in record.data["runs"]:
        last = [np.array(run[name], dtype=float)[1] for name in ("hessian", "recurrent")]
        known = np.isfinite(last[0]) & np.isfinite(last[1])
        if known.any():
            ratios.append((last[0] / last[1])[known][-1])
    return f"{min(ratios):.0e} to {max(ratios):.0e} times as large" if ratios else "not known"


def _table(record: Record) -> str:
    """Epochs until the median training loss comes near to what fixed poles have at once."""
    rows = [["method", "data", "epochs to 2x the ridge's loss", "to 1.1x", "last loss / ridge's"]]
    for run in record.data["runs"]:
        middle = np.array(run["loss"], dtype=float)[1] / run["ridge"]
        reached = [np.flatnonzero(middle <= factor) for factor in (2.0, 1.1)]
        known = middle[np.isfinite(middle)]
        rows.append([
            recording.LABELS[run["optimizer"]], "real" if run["real"] else "complex",
            *(str(r[0]) if r.size else f"> {len(middle)}" for r in reached),
            f"{known[-1]:.2f}" if len(known) == len(middle) else "diverged",
        ])  # fmt: skip
    return aligned(rows)


def _caption(record: Record) -> str:
    budget = record.settings["budget"]
    rates = ", ".join(
        f"{recording.LABELS[name]} {rate:g}" for name, rate in record.data["rates"].items()
    )
    searched = "found on other slots" if budget["search_steps"] else "not searched"
    text = f"""\
        What training by backpropagation through time looks like. A linear network of
        {budget["size"]} neurons with a dense recurrent matrix W_rec learns to equalize
        {budget["num_pilots"]} pilots through a random channel at {budget["snr_db"]} dB; lines are
        medians over {budget["num_slots"]} slots, bands run from the first to the third quartile.
        First learning rates, {searched}: {rates}; they decay to zero along half a cosine. Dotted:
        the loss of as many fixed poles on a ring and a ridge in closed form, without any epoch.
        The paper shows the condition number of W_rec; what makes learning slow is that of the loss
        Hessian, here in the coordinates of the eigenvalues of W_rec and on the slot's own data:
        at the last epoch it is, over that of W_rec, {_excess(record)}. Above {LARGEST:.0e}
        it cannot be told in double precision and is left out. Seed {record.settings["seed"]}."""
    return textwrap.fill(" ".join(text.split()), 100)
