"""Where learning the poles pays: pilots x signal to noise ratio x number of poles."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rx_fixedpole import poles as placements
from sims.experiments import equalization as task
from sims.experiments.parallel import in_processes
from sims.experiments.phase_tables import (
    METHODS,
    better_or_worse,
    log_ratios,
    pilots_to_an_error,
)
from sims.experiments.record import Parts, Presentation, Record, Result
from sims.training import LBFGS, Adam, Data, Descent, Training, VarPro, Weights

Array = NDArray[np.float64]
RADIUS = 0.7  # of the fixed ring, and of the disc from which learning starts


def settings(*, quick: bool) -> dict[str, Any]:
    """Return the axes of the diagram and the budgets of the methods."""
    return {
        "revision": 1,
        "num_pilots": [32, 128, 512] if quick else [32, 64, 128, 256, 512],
        "snr_db": [0, 20] if quick else [0, 10, 20, 30],
        "num_poles": [4] if quick else [4, 8, 16],
        "num_slots": 8 if quick else 20,
        "learning_rate": 0.03,
        "num_steps": 100 if quick else 300,
        "patience": 60,
        "num_iterations": 50 if quick else 100,
        "radius": RADIUS,
    }


def compute(settings: Mapping[str, Any], *, seed: int, parts: Parts) -> Result:
    """Train in every cell; the slots of a pilot count and order are trained side by side."""
    keys = [
        {**settings, "num_pilots": num_pilots, "num_poles": num_poles, "seed": seed}
        for num_poles in settings["num_poles"]
        for num_pilots in settings["num_pilots"]
    ]
    columns = in_processes(parts, keys, train_column)
    shape = [len(settings[axis]) for axis in ("num_poles", "num_pilots")]
    data = {
        name: np.array([column["errors"][name] for column in columns]).reshape(
            *shape, len(settings["snr_db"]), settings["num_slots"]
        )
        for name in ("fixed", "best", *METHODS)
    }
    chosen = np.array([column["chosen"] for column in columns])
    times = {
        name: np.array([column["seconds"][name] for column in columns]).reshape(shape)
        for name in ("fixed", *METHODS)
    }
    return Result({"errors": data, "chosen": chosen.sum(axis=0)}, {"seconds_per_slot": times})


def train_column(key: Mapping[str, Any]) -> dict[str, Any]:
    """Errors on data of every method in all cells of one pilot count and number of poles."""
    num_poles, snr_db = key["num_poles"], key["snr_db"]
    slots = task.draw(
        key["seed"] + np.tile(np.arange(key["num_slots"]), len(snr_db)),
        np.repeat(snr_db, key["num_slots"]),
        num_pilots=key["num_pilots"],
        delay=num_poles // 2,
    )
    ring = placements.ring(num_poles, RADIUS)
    regression = task.regression(task.bank(ring), slots)
    data = slots.training()
    adam = Adam(key["learning_rate"], key["num_steps"])
    descent = Descent(regression, adam, patience=key["patience"])
    lbfgs = LBFGS(regression, num_steps=key["num_iterations"], patience=key["patience"])
    varpro = VarPro(regression, num_steps=key["num_iterations"], patience=key["patience"])
    start = regression.start(data)
    random = start._replace(
        recurrent=task.random_banks(num_poles, RADIUS, len(slots.u), key["seed"])
    )
    trainers: dict[str, tuple[Callable[[Data, Weights], Training], Weights]] = {
        "scratch": (descent, random),
        "warm": (descent, regression.start(data, ridge=True)),
        "lbfgs": (lbfgs, random),
        "varpro": (varpro, start),
    }
    errors, seconds, held_out = {}, {}, []
    fit = task.fixed_trainer(ring)
    weights, seconds["fixed"] = _timed(lambda: fit(data))
    errors["fixed"] = task.fixed_error(slots, ring, weights)
    for name, (train, initial) in trainers.items():
        if name in ("lbfgs", "varpro"):  # they compile at their first slot
            train(*tf.nest.map_structure(lambda x: x[:1], (data, initial)))
        elif name == "scratch":
            _ready(train(data, initial))
        begin = time.perf_counter()
        result = _ready(train(data, initial))
        seconds[name] = time.perf_counter() - begin
        errors[name] = task.learnt_error(slots, regression, result.parameters)
        held_out.append(np.nan_to_num(result.held_out.numpy(), nan=np.inf))
    choice = np.argmin(held_out, axis=0)
    errors["best"] = np.choose(choice, [errors[name] for name in METHODS])
    return {
        "errors": errors,
        "chosen": np.bincount(choice, minlength=len(METHODS)),
        "seconds": {name: value / len(slots.u) for name, value in seconds.items()},
    }


def present(record: Record) -> Presentation:
    """Draw a diagram of errors and one of times, a panel for each number of poles."""
    budget, errors = record.settings["budget"], record.data["errors"]
    seconds = record.times["seconds_per_slot"]
    mean, half = log_ratios(errors, "best")
    orders = budget["num_poles"]
    figure = Figure(figsize=(2.5 + 4.3 * len(orders), 8.6), layout="constrained")
    panels = figure.subplots(2, len(orders), squeeze=False)
    limit = max(0.05, float(np.abs(mean).max()))
    for axes, k in zip(panels[0], range(len(orders)), strict=True):
        image = _map(axes, mean[k].T, budget, (-limit, limit))
        axes.set_title(f"{orders[k]} poles: error on data")
        _write_errors(axes, errors, k, mean[k], half[k])
    bar = figure.colorbar(image, ax=list(panels[0]))
    bar.set_label("log10(error of best learnt / fixed): blue, learning pays")
    slowest = _time_ratio(seconds)
    for axes, k in zip(panels[1], range(len(orders)), strict=True):
        values = np.repeat(np.log10(slowest[k])[:, None], len(budget["snr_db"]), axis=1)
        image = _map(axes, values.T, budget, (0, float(np.log10(slowest).max())), cmap="Reds")
        axes.set_title(f"{orders[k]} poles: time a slot")
        for i, ratio in enumerate(slowest[k]):
            _write(axes, i, (len(budget["snr_db"]) - 1) / 2, f"{ratio:.0f}x")
    figure.colorbar(image, ax=list(panels[1])).set_label("log10(time of scratch / fixed)")
    tables = [better_or_worse(record), pilots_to_an_error(record)]
    return Presentation(_caption(record), figure, "\n\n".join(tables))


def _map(
    axes: Axes,
    values: Array,
    budget: Mapping[str, Any],
    limits: tuple[float, float],
    cmap: str = "RdBu_r",
) -> Any:
    norm = TwoSlopeNorm(0.0, *limits) if limits[0] < 0 else None
    low, high = (None, None) if norm else limits
    image = axes.imshow(
        values, origin="lower", aspect="auto", cmap=cmap, norm=norm, vmin=low, vmax=high
    )
    axes.set_xticks(range(len(budget["num_pilots"])), budget["num_pilots"])
    axes.set_yticks(range(len(budget["snr_db"])), budget["snr_db"])
    axes.set_xlabel("Pilots to learn from (symbols)")
    axes.set_ylabel("Signal to noise ratio [dB]")
    return image


def _write_errors(axes: Axes, errors: Mapping[str, Any], k: int, mean: Array, half: Array) -> None:
    """The ratio in each cell, and the letters of the methods that beat fixed poles there."""
    bounds = {name: np.add(*log_ratios(errors, name)) for name in METHODS}
    for i, j in np.ndindex(mean.shape):
        winners = "".join(METHODS[name][0] for name in METHODS if bounds[name][k, i, j] < 0)
        sure = "" if abs(mean[i, j]) > half[i, j] else "?"
        _write(axes, i, j, f"{10 ** mean[i, j]:.2f}{sure}\n{winners}")


def _write(axes: Axes, i: int, j: float, text: str) -> None:
    box = dict(facecolor="white", alpha=0.75, linewidth=0, boxstyle="round,pad=0.15")
    axes.text(i, j, text, ha="center", va="center", fontsize=8, bbox=box)


def _time_ratio(seconds: Mapping[str, Any]) -> Array:
    return np.array(seconds["scratch"]) / np.array(seconds["fixed"])


def _caption(record: Record) -> str:
    budget = record.settings["budget"]
    letters = ", ".join(f"{letter} {label}" for letter, label in METHODS.values())
    mean, half = log_ratios(record.data["errors"], "best")
    better, worse = int(np.sum(mean + half < 0)), int(np.sum(mean - half > 0))
    text = f"""\
        Where learning the poles pays. A slot is a stretch of QPSK pilots through a random channel
        of
        {task.NUM_TAPS} taps (decay {task.DELAY_SPREAD:g} samples), equalized by a bank of poles
        that
        the received signal drives, and nothing else; the error is the mean squared error on
        {task.NUM_DATA} later symbols of the same slot. Fixed: poles on a ring of radius
        {budget["radius"]:g} and a ridge with the known noise variance on all pilots. Learnt: poles
        and
        readout trained on four fifths of the pilots, stopped on the last fifth, and a last ridge on
        all of them with the learnt poles. Upper row: number and colour give the geometric mean over
        {budget["num_slots"]} slots of error(learnt) / error(fixed), where "learnt" is, slot by
        slot, the method with the smallest error on held-out pilots; "?" where the paired 95 %
        interval
        holds 1. Letters: methods whose own interval lies below 1 ({letters}). In {better} of
        {mean.size} cells the best learnt poles are better, in {worse} they are worse. Lower row:
        time
        to train a slot by Adam from random poles over that of fixed poles, both on all slots side
        by
        side on one thread. Seed {record.settings["seed"]}, {budget["num_steps"]} steps of Adam
        (rate
        {budget["learning_rate"]:g}), {budget["num_iterations"]} iterations of the others. Second
        table: pilots with which a method has the error that fixed poles have with the middle one
        of the pilot counts, interpolated on logarithmic scales between geometric means over
        slots, which are others for every pilot count."""
    return textwrap.fill(" ".join(text.split()), 100)


def _ready(result: Training) -> Training:
    """Wait until a result is there."""
    result.held_out.numpy()
    return result


def _timed(run: Callable[[], tf.Tensor], calls: int = 15) -> tuple[tf.Tensor, float]:
    """The result and the median of the seconds of a call; the first one compiles."""
    run()
    seconds = []
    for _ in range(calls):
        start = time.perf_counter()
        result = run()
        result.numpy()
        seconds.append(time.perf_counter() - start)
    return result, float(np.median(seconds))
