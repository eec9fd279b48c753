"""The channel's true covariance along frequency and time, from drops that no slot is made of."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from sims.link import Link
from sims.receivers.grid import fourier, pilot_grid

_SEED = 20_260_221  # of the drops; the same for every receiver, so that one estimate serves all

_DROPS_AT_ONCE = 64  # where the responses of all drops together would not fit into memory


class Covariance(NamedTuple):
    """E[h(m, k) conj(h(m', k'))] = time[m, m'] frequency[k, k'], pooled over antenna pairs.

    time has a unit mean diagonal; frequency carries the power. Exact for tapped delay lines (all
    taps share one Doppler spectrum); for clustered models an approximation.
    """

    frequency: np.ndarray  # [K, K] complex128
    time: np.ndarray  # [M, M] complex128


@functools.lru_cache(maxsize=2)
def true_covariance(link: Link, num_drops: int) -> Covariance:
    """Estimate the separable frequency-time covariance on the occupied subcarriers.

    Args:
        link: the link; its `channel_draws` have a seed of their own.
        num_drops: how many drops to average over; every antenna pair and OFDM symbol of a drop
            counts.

    Returns:
        The covariance; both factors are positive semidefinite.
    """
    if link.scenario.channel == "umi":
        return Covariance(*spatial_covariance(link, num_drops)[:2])
    subcarriers = pilot_grid(link.resource_grid).subcarriers
    h = np.asarray(link.frequency_response(link.channel_draws(num_drops, _SEED)))
    h = h.reshape(-1, *h.shape[-2:])[..., subcarriers].astype(np.complex128)
    count, num_symbols, num_columns = h.shape
    rows = h.reshape(-1, num_columns)
    frequency = rows.T @ rows.conj() / len(rows)
    time = np.einsum("nmk,nlk->ml", h, h.conj(), optimize=True)
    return Covariance(frequency, time * num_symbols / np.trace(time).real)


class SpatialCovariance(NamedTuple):
    """E[h(a, m, k) conj(h(a', m', k'))] = space[a, a'] time[m, m'] frequency[k, k'], all users.

    space and time have a unit mean diagonal; frequency carries the power. An approximation: paths
    of one drop share angle, delay and Doppler shift; over many drops they are nearly independent.
    """

    frequency: np.ndarray  # [K, K] complex128
    time: np.ndarray  # [M, M] complex128
    space: np.ndarray  # [A, A] complex128


@functools.lru_cache(maxsize=2)
def spatial_covariance(link: Link, num_drops: int) -> SpatialCovariance:
    """Estimate the separable frequency-time-space covariance on the occupied subcarriers.

    Everything is summed over taps, which are fewer than subcarriers.

    Args:
        link: the link; its `channel_draws` have seeds of their own.
        num_drops: how many drops to average over; every user and stream of a drop counts.

    Returns:
        The covariance; all factors are positive semidefinite.
    """
    grid = pilot_grid(link.resource_grid)
    sums: list[np.ndarray] = []
    for start in range(0, num_drops, _DROPS_AT_ONCE):
        count = min(_DROPS_AT_ONCE, num_drops - start)
        taps = link.channel_draws(count, _SEED + start).numpy()  # [B, 1, A, U, S, M or 1, L]
        parts = [_outer(taps, axis) for axis in (-1, -2, 2)]
        sums = parts if not sums else [a + b for a, b in zip(sums, parts, strict=True)]
    delay, time, space = sums
    num_rows = num_drops * taps[0, ..., 0].size
    response = fourier(grid.frequencies, np.arange(link.l_min, link.l_max + 1), grid.fft_size)
    time = time * len(time) / np.trace(time).real
    return SpatialCovariance(
        response @ (delay / num_rows) @ response.conj().T,
        np.broadcast_to(time, [grid.num_symbols] * 2),  # 1 x 1 when static
        space * len(space) / np.trace(space).real,
    )


def _outer(taps: np.ndarray, axis: int) -> np.ndarray:
    """Sum of the outer products along an axis over all others, complex128."""
    rows = np.moveaxis(taps, axis, -1).reshape(-1, taps.shape[axis])
    return (rows.T @ rows.conj()).astype(np.complex128)
