"""The channel's true covariance along frequency and time, from drops that no slot is made of."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from sims.link import Link
from sims.receivers.grid import pilot_grid

_SEED = 20_260_221  # of the drops; the same for every receiver, so that one estimate serves all


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
    subcarriers = pilot_grid(link.resource_grid).subcarriers
    h = np.asarray(link.frequency_response(link.channel_draws(num_drops, _SEED)))
    h = h.reshape(-1, *h.shape[-2:])[..., subcarriers].astype(np.complex128)
    count, num_symbols, num_columns = h.shape
    rows = h.reshape(-1, num_columns)
    frequency = rows.T @ rows.conj() / len(rows)
    time = np.einsum("nmk,nlk->ml", h, h.conj(), optimize=True)
    return Covariance(frequency, time * num_symbols / np.trace(time).real)
