"""What a resource grid tells a receiver: where the known symbols are, and where the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class PilotGroup:
    """Streams that are known on the same resource elements, and what they send there.

    Args:
        streams: flat indices ``tx * num_streams_per_tx + stream``, int ``[G]``.
        elements: flat indices ``symbol * fft_size + subcarrier``, int ``[P]``, ascending.
        targets: symbols sent there, complex128 ``[P, G]``; zeros where a stream is silent.
    """

    streams: np.ndarray
    elements: np.ndarray
    targets: np.ndarray


def grid_elements(resource_grid: Any) -> np.ndarray:
    """Flat index of every occupied resource element, int ``[M * num_effective_subcarriers]``."""
    subcarriers = np.asarray(resource_grid.effective_subcarrier_ind, dtype=np.int64)
    symbols = np.arange(int(resource_grid.num_ofdm_symbols))
    return (symbols[:, None] * int(resource_grid.fft_size) + subcarriers).reshape(-1)


def pilot_groups(resource_grid: Any) -> tuple[PilotGroup, ...]:
    """Group the streams of a ``ResourceGrid`` by their pilot mask.

    Streams of one group share features, Gram matrix and factorisation. Within a group all streams
    are known on all elements, orthogonal pilots (zeros where another stream sends) or not.

    Raises:
        ValueError: if the grid has no pilots.
    """
    pattern = resource_grid.pilot_pattern
    mask = np.asarray(pattern.mask).astype(bool)
    num_streams = mask.shape[0] * mask.shape[1]
    mask = mask.reshape(num_streams, -1)
    pilots = np.asarray(pattern.pilots).astype(np.complex128).reshape(num_streams, -1)
    if pilots.shape[1] == 0:
        raise ValueError("resource_grid must have pilots to train on, got an empty pilot pattern")
    elements = grid_elements(resource_grid)
    masks, group_of = np.unique(mask, axis=0, return_inverse=True)
    group_of = group_of.reshape(-1)
    return tuple(
        PilotGroup(
            streams=np.flatnonzero(group_of == g),
            elements=elements[masks[g]],
            targets=pilots[group_of == g].T,
        )
        for g in range(len(masks))
    )


def data_elements(resource_grid: Any) -> np.ndarray:
    """Flat index of the data symbols of every stream in the order of the mapper, int ``[S, D]``."""
    mask = np.asarray(resource_grid.pilot_pattern.mask).astype(bool)
    mask = mask.reshape(mask.shape[0] * mask.shape[1], -1)
    elements = grid_elements(resource_grid)
    return np.stack([elements[~row] for row in mask])
