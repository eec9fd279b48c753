"""Channel estimators against the true channel, on the same drops.

    NMSE = mean over drops and users of  sum |h_hat - h|^2 / sum |h|^2

over all antennas, OFDM symbols and subcarriers of a slot. To add an estimator, write one entry of
ESTIMATORS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import tensorflow as tf
from sionna.phy import config
from sionna.phy.ofdm import LSChannelEstimator

from sims.link import Link
from sims.receivers.delay_limited import delay_limited_estimator
from sims.receivers.estimated import fixed_pole_block
from sims.receivers.joint_lmmse import joint_lmmse_estimator

# (y [B,1,A,M,fft], no) -> h_hat [B,1,A,U,S,M,K], err_var, as Sionna's LSChannelEstimator
ChannelEstimator = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]

_RESAMPLES = 2000


def _sionna_ls(link: Link, interpolation: str) -> ChannelEstimator:
    grid = link.resource_grid
    return LSChannelEstimator(grid, interpolation_type=interpolation, precision=grid.precision)


def _delay_limited(link: Link, *, within_prefix: bool) -> ChannelEstimator:
    last = link.scenario.cp_length if within_prefix else None
    return _of_slots(delay_limited_estimator(link, last=last))


def _joint_lmmse(link: Link) -> ChannelEstimator:
    return _of_slots(joint_lmmse_estimator(link))


def _of_slots(estimate: Callable[..., tuple[tf.Tensor, tf.Tensor]]) -> ChannelEstimator:
    """Adapt an estimator of the laboratory, which looks at these two of a slot."""
    return lambda y, no: estimate(SimpleNamespace(y=y, no=no))


# name -> (link -> estimator)
ESTIMATORS: dict[str, Callable[[Link], ChannelEstimator]] = {
    "LS, linear": partial(_sionna_ls, interpolation="lin"),
    "LS, linear, time average": partial(_sionna_ls, interpolation="lin_time_avg"),
    "LS, all lags": partial(_delay_limited, within_prefix=False),
    "LS, lags of the prefix": partial(_delay_limited, within_prefix=True),
    "fixed poles": fixed_pole_block,
    "joint LMMSE, true covariance": _joint_lmmse,
}

# The fixed-pole estimator with one part of it changed: what each part is worth
ABLATION: dict[str, Callable[[Link], ChannelEstimator]] = {
    "fixed poles": fixed_pole_block,
    "a prior along the array": partial(fixed_pole_block, array_prior=True),
    "poles a whole sample apart": partial(fixed_pole_block, spacing=1.0),
    "poles a quarter of a sample apart": partial(fixed_pole_block, spacing=0.25),
    "channels that stand still": partial(fixed_pole_block, time_correlation=False),
    "no common Doppler shift": partial(fixed_pole_block, doppler_shift=False),
    "taps not told": partial(fixed_pole_block, taps=False),
    "noise variance estimated": partial(fixed_pole_block, estimate_noise=True),
}


def drop_errors(
    link: Link,
    estimators: Mapping[str, ChannelEstimator],
    *,
    ebno_db: float,
    num_drops: int,
    drops_at_once: int = 16,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Measure estimators on the same slots.

    Args:
        link: where the slots come from.
        estimators: name -> estimator, compiled where that pays.
        ebno_db: Eb/N0 in dB.
        num_drops: slots, a multiple of `drops_at_once`.
        drops_at_once: batch size; part of what the slots are.
        seed: of the slots, the same slots at every Eb/N0 but for the noise's variance.

    Returns:
        name -> squared error over the channel's energy, float64 [num_drops, num_users].

    Raises:
        ValueError: if `num_drops` is no positive multiple of `drops_at_once`.
    """
    if num_drops < 1 or num_drops % drops_at_once:
        raise ValueError(
            f"num_drops must be a positive multiple of {drops_at_once}, got {num_drops!r}"
        )
    subcarriers = np.asarray(link.resource_grid.effective_subcarrier_ind)
    errors: dict[str, list[np.ndarray]] = {name: [] for name in estimators}
    for start in range(0, num_drops, drops_at_once):
        config.seed = 1_000_000 * (seed + 1) + start // drops_at_once
        slots = link.transmit(drops_at_once, ebno_db)
        h = tf.gather(link.frequency_response(slots.h_time), subcarriers, axis=-1)
        for name, estimate in estimators.items():
            difference = estimate(slots.y, slots.no)[0] - h
            errors[name].append(_energy(difference) / _energy(h))
    return {name: np.concatenate(parts) for name, parts in errors.items()}


def nmse_db(errors: np.ndarray, *, seed: int = 0) -> tuple[float, float, float]:
    """Return the mean NMSE in dB with its 95 % bootstrap interval over drops.

    Args:
        errors: [drops, users] of `drop_errors`.
        seed: of the resampling.

    Returns:
        NMSE, lower and upper end, in dB.

    >>> nmse_db(np.full([8, 2], 0.01))
    (-20.0, -20.0, -20.0)
    """
    drops = errors.mean(axis=1)
    index = np.random.default_rng(seed).integers(0, len(drops), [_RESAMPLES, len(drops)])
    low, high = np.percentile(drops[index].mean(axis=1), [2.5, 97.5])
    middle, low, high = (10 * float(np.log10(value)) for value in (drops.mean(), low, high))
    return middle, low, high


def measure(
    link: Link,
    *,
    ebno_db: Sequence[float],
    num_drops: int,
    drops_at_once: int = 16,
    seed: int = 0,
    estimators: Mapping[str, Callable[[Link], ChannelEstimator]] = ESTIMATORS,
) -> list[dict[str, Any]]:
    """Measure estimators on a link.

    Args:
        link: where the slots come from.
        estimators: name -> (link -> estimator).
        ebno_db: points in dB.
        num_drops: slots at every point, a multiple of `drops_at_once`.
        drops_at_once: see `drop_errors`.
        seed: of slots and resampling.

    Returns:
        A row for every estimator and point: "scenario", "estimator", "ebno_db", "nmse_db" (value,
        lower, upper end) and "drops" (the error of every drop, over its users).
    """
    built = {name: tf.function(build(link), autograph=False) for name, build in estimators.items()}
    rows = []
    for ebno in ebno_db:
        found = drop_errors(
            link,
            built,
            ebno_db=ebno,
            num_drops=num_drops,
            drops_at_once=drops_at_once,
            seed=seed,
        )
        rows += [
            {
                "scenario": link.scenario.name,
                "estimator": name,
                "ebno_db": float(ebno),
                "nmse_db": nmse_db(errors, seed=seed),
                "drops": errors.mean(axis=1).tolist(),
            }
            for name, errors in found.items()
        ]
    return rows


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows of `measure` as lines of text, one for an estimator in a scenario."""
    points = sorted({row["ebno_db"] for row in rows})
    cells: dict[tuple[str, str], dict[float, str]] = {}
    for row in rows:
        value, low, high = row["nmse_db"]
        place = cells.setdefault((row["scenario"], row["estimator"]), {})
        place[row["ebno_db"]] = f"{value:.2f} ({low:.2f} .. {high:.2f})"
    lines = [["scenario", "NMSE in dB at Eb/N0", *(f"{point:g} dB" for point in points)]]
    lines += [[*key, *(found.get(point, "") for point in points)] for key, found in cells.items()]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _energy(h: tf.Tensor) -> np.ndarray:
    """[B, 1, A, U, S, M, K] -> [B, U]."""
    return tf.reduce_sum(tf.cast(tf.abs(h), tf.float64) ** 2, axis=(1, 2, 4, 5, 6)).numpy()
