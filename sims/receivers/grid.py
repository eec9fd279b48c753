"""The resource grid as NumPy arrays: what every estimator reads from it, once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from sionna.phy.ofdm import ResourceGrid


class PilotGrid(NamedTuple):
    """Pilot resource elements that carry no data of any stream, and the occupied subcarriers.

    Streams of all users are counted through: S = num_users * streams per user.
    """

    subcarriers: np.ndarray  # [K] int, occupied subcarriers as positions 0 .. fft_size - 1
    symbols: np.ndarray  # [P] int, OFDM symbol of each pilot resource element
    columns: np.ndarray  # [P] int, its position among the occupied subcarriers
    values: np.ndarray  # [S, P] complex128, what each stream sends there (0: silent)
    num_symbols: int  # M
    fft_size: int

    @property
    def frequencies(self) -> np.ndarray:
        """Signed subcarrier indices [K], 0 at DC."""
        return self.subcarriers - self.fft_size // 2

    @property
    def comb(self) -> int:
        """Largest over the streams of the smallest distance between pilots in one symbol."""
        return max(self._spacing(values) for values in self.values)

    def _spacing(self, values: np.ndarray) -> int:
        spacings = [
            np.diff(self.subcarriers[self.columns[(values != 0) & (self.symbols == m)]])
            for m in np.unique(self.symbols)
        ]
        return int(min((s.min() for s in spacings if s.size), default=self.fft_size))


def pilot_grid(resource_grid: ResourceGrid) -> PilotGrid:
    """Read a Sionna resource grid.

    Args:
        resource_grid: any grid with pilots; a resource element counts as a pilot where every
            stream reserves it.

    Returns:
        The grid as NumPy arrays, pilots ordered by symbol, then subcarrier.

    Raises:
        ValueError: without a resource element that all streams reserve for pilots.
    """
    pattern = resource_grid.pilot_pattern
    mask = np.asarray(pattern.mask).astype(bool)
    mask = mask.reshape(-1, *mask.shape[-2:])
    pilots = np.asarray(pattern.pilots).astype(np.complex128).reshape(mask.shape[0], -1)
    full = np.zeros(mask.shape, np.complex128)
    for grid, where, sequence in zip(full, mask, pilots, strict=True):
        grid[where] = sequence
    symbols, columns = np.nonzero(mask.all(axis=0))
    if symbols.size == 0:
        raise ValueError("resource_grid: no resource element is reserved for pilots by all streams")
    return PilotGrid(
        subcarriers=np.asarray(resource_grid.effective_subcarrier_ind),
        symbols=symbols,
        columns=columns,
        values=full[:, symbols, columns],
        num_symbols=int(resource_grid.num_ofdm_symbols),
        fft_size=int(resource_grid.fft_size),
    )


def fourier(frequencies: np.ndarray, lags: np.ndarray, fft_size: int) -> np.ndarray:
    """Frequency response of unit taps, exp(-j 2 pi k l / fft_size), complex128 [K, L]."""
    return np.exp(-2j * np.pi * np.outer(frequencies, lags) / fft_size)
