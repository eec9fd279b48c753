r"""What pilots see of channels that are sums of delays, worked out once for a resource grid.

A channel with delays :math:`l_p` (in samples, not necessarily whole) is along subcarriers a sum of
unit-circle poles, :math:`h(k) = \sum_p c_p e^{-j 2 \pi k l_p / N}`. Along OFDM symbols a few
orthonormal functions :math:`v_q(m)` of the pilot symbols take its movement. A *part* is one
function of one stream; it puts :math:`x_s(m, k)\, v_q(m)\, e^{-j 2 \pi k l / N}` on the pilots.
Parts that share no pilots, or are orthogonal on those they share, can be solved apart; those that
are not make a *block*. Blocks whose pilots see the same up to a shift are of one *kind* and share
every factorisation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from .lags import Delays
from .pilots import PilotGroup, pilot_groups

# Correlation of two parts, relative to their energies, below which they are solved apart.
_ORTHOGONAL = 1e-6


@dataclass(frozen=True)
class PoleModel:
    """Parts, blocks and kinds of a resource grid; J blocks of I parts, C kinds, K lags.

    Blocks with fewer parts than others are filled up with parts that put nothing on any pilot.

    Args:
        delays: the poles.
        elements: flat resource elements ``symbol * fft_size + subcarrier`` that each block's pilots
            take, int ``[J, P]``; filled up with an element on which no part puts anything.
        matched: conjugate of what each part and lag puts there, complex128 ``[J, P, I, K]``.
        gram: inner products of the parts and lags of a kind, complex128 ``[C, I, I, K, K]``.
        kind: kind of each block, int ``[J]``; example: a block of each kind, int ``[C]``.
        stream, user, function: of each part, int ``[J, I]``.
        real: False for the parts that fill up, bool ``[J, I]``.
        shift: phase of each block and lag that its reference subcarrier leaves, ``[J, K]``.
        span: subcarriers from the first pilot to the last, as a share of all.
    """

    delays: Delays
    elements: np.ndarray
    matched: np.ndarray
    gram: np.ndarray
    kind: np.ndarray
    example: np.ndarray
    stream: np.ndarray
    user: np.ndarray
    function: np.ndarray
    real: np.ndarray
    shift: np.ndarray
    span: float

    @property
    def num_lags(self) -> int:
        """K."""
        return len(self.delays.lags)

    @property
    def energy(self) -> np.ndarray:
        """Mean energy of each part's lags on the pilots, float64 ``[J, I]``."""
        return np.einsum("ciikk->ci", self.gram).real[self.kind] / self.num_lags


@dataclass(frozen=True)
class _Block:
    """Parts that must be solved together, before they are lined up with the others."""

    parts: list[tuple[int, int]]
    elements: np.ndarray
    design: np.ndarray  # [P, I]
    gram: np.ndarray  # [I, I, K, K]
    reference: int


def pole_model(
    resource_grid: Any, delays: Delays, symbols: np.ndarray, functions: np.ndarray
) -> PoleModel:
    """Work out a resource grid.

    Args:
        resource_grid: Sionna's ``ResourceGrid``.
        delays: the poles.
        symbols: OFDM symbols with pilots, ascending ``[Mp]``.
        functions: functions of time on these, float64 ``[Mp, Q]``.
    """
    fft_size, num_lags = int(resource_grid.fft_size), len(delays.lags)
    blocks = []
    for group in pilot_groups(resource_grid):
        blocks += _blocks(group, delays, symbols, functions, fft_size)
    longest = max(len(block.elements) for block in blocks)
    elements = np.zeros((len(blocks), longest), int)
    size = max(len(block.parts) for block in blocks)
    shape = (len(blocks), size)
    stream, function = np.zeros(shape, int), np.zeros(shape, int)
    real = np.zeros(shape, bool)
    matched = np.zeros((len(blocks), longest, size, num_lags), np.complex128)
    gram = np.zeros((len(blocks), size, size, num_lags, num_lags), np.complex128)
    shift = np.zeros((len(blocks), num_lags), np.complex128)
    for j, block in enumerate(blocks):
        used, rows = len(block.parts), len(block.elements)
        stream[j, :used], function[j, :used] = np.transpose(block.parts)
        real[j, :used] = True
        elements[j, :rows] = block.elements
        seen = delays.response(block.elements % fft_size, block.reference)
        matched[j, :rows, :used] = np.conj(block.design[:, :, None] * seen[:, None, :])
        gram[j, :used, :used] = block.gram
        shift[j] = delays.shift(block.reference)
    user = stream // int(resource_grid.num_streams_per_tx)
    kind, example = _kinds(gram, user, function, real)
    return PoleModel(
        delays=delays,
        elements=elements,
        matched=matched,
        gram=gram[example],
        kind=kind,
        example=example,
        stream=stream,
        user=user,
        function=function,
        real=real,
        shift=shift,
        span=max(np.ptp(block.elements % fft_size) + 1 for block in blocks) / fft_size,
    )


def _blocks(
    group: PilotGroup, delays: Delays, symbols: np.ndarray, functions: np.ndarray, fft_size: int
) -> list[_Block]:
    """Blocks of the streams that are known on the same resource elements."""
    time = functions[np.searchsorted(symbols, group.elements // fft_size)]
    parts = [(int(s), q) for s in group.streams for q in range(functions.shape[1])]
    design = (group.targets[:, :, None] * time[:, None, :]).reshape(len(group.elements), -1)
    subcarriers, column = np.unique(group.elements % fft_size, return_inverse=True)
    # By inner products, not by pilots in common: orthogonal covers and combs fall apart alike.
    products = np.zeros((len(subcarriers), len(parts), len(parts)), np.complex128)
    np.add.at(products, column, np.conj(design)[:, :, None] * design[:, None, :])
    energy = np.sqrt(np.sum(np.abs(design) ** 2, axis=0))
    heard = energy > 0
    relative = np.sum(np.abs(products), axis=0) / np.maximum(np.outer(energy, energy), 1e-300)
    gram = np.zeros((len(parts), len(parts), len(delays.lags), len(delays.lags)), np.complex128)
    _, label = connected_components(csr_array(relative > _ORTHOGONAL), directed=False)
    blocks = []
    for chosen in (np.flatnonzero((label == b) & heard) for b in range(label.max() + 1)):
        if not chosen.size:
            continue
        rows = np.flatnonzero(np.any(np.abs(design[:, chosen]) > 0, axis=1))
        reference = int(subcarriers[column[rows]].min())
        seen = delays.response(subcarriers, reference)
        for i, j in ((i, j) for i in chosen for j in chosen if relative[i, j] > _ORTHOGONAL):
            gram[i, j] = np.conj(seen.T) @ (products[:, i, j, None] * seen)
        named = [parts[i] for i in chosen]
        block = gram[np.ix_(chosen, chosen)]
        blocks.append(
            _Block(named, group.elements[rows], design[np.ix_(rows, chosen)], block, reference)
        )
    return blocks


def _kinds(
    gram: np.ndarray, user: np.ndarray, function: np.ndarray, real: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Kind of each block, and a block of each kind."""
    kind = np.zeros(len(user), int)
    example: list[int] = []
    for j in range(len(user)):
        scale = np.max(np.abs(gram[j]))
        for c, e in enumerate(example):
            alike = (user[j] == user[e]) & (function[j] == function[e]) & (real[j] == real[e])
            if alike.all() and np.allclose(gram[j], gram[e], rtol=0, atol=1e-9 * scale):
                kind[j] = c
                break
        else:
            kind[j] = len(example)
            example.append(j)
    return kind, np.array(example)
