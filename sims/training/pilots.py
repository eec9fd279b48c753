"""Pilot resource elements: some are learnt from, the others tell when to stop."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Fractional parts of its multiples fill the unit interval evenly, along every comb of multiples.
_GOLDEN = (np.sqrt(5) - 1) / 2


def held_out_mask(num_pilots: int, held_out: float) -> np.ndarray:
    """Choose pilots to hold out, spread evenly over all of them and over every comb of them.

    Args:
        num_pilots: number of pilots.
        held_out: share to hold out, in (0, 1).

    Returns:
        bool ``[num_pilots]``, True where held out.

    Raises:
        ValueError: if ``held_out`` is out of range, or leaves either part empty.

    Example:
        >>> held_out_mask(10, 0.3).astype(int).tolist()
        [1, 0, 1, 0, 0, 1, 0, 0, 0, 0]
    """
    if not 0 < held_out < 1:
        raise ValueError(f"held_out must be in (0, 1), got {held_out!r}")
    mask = np.arange(num_pilots) * _GOLDEN % 1 < held_out
    if mask.all() or not mask.any():
        raise ValueError(
            "held_out must leave pilots to learn from and pilots to hold out, "
            f"got {held_out!r} of {num_pilots}"
        )
    return mask


@dataclass(frozen=True)
class PilotRows:
    """The rows of a regression on pilots: all resource elements of the OFDM symbols with pilots.

    Data and empty subcarriers among them weigh nothing: the gradient of whole symbols is faster
    than that of a gather.

    Args:
        symbols: OFDM symbols with pilots, int, ascending.
        targets: what is sent on the rows, complex128 ``[E, S]``; zero where nothing is known.
        learnt, held_out: bool ``[E]``, the pilots to learn from and those that tell when to stop.
    """

    symbols: np.ndarray
    targets: np.ndarray
    learnt: np.ndarray
    held_out: np.ndarray

    @classmethod
    def of(
        cls, elements: np.ndarray, targets: np.ndarray, held_out: np.ndarray, fft_size: int
    ) -> PilotRows:
        """The rows of given pilots.

        Args:
            elements: flat indices ``symbol * fft_size + subcarrier`` of the pilots, int ``[P]``.
            targets: what is sent there, complex ``[P, S]``.
            held_out: bool ``[P]``.
            fft_size: number of subcarriers.
        """
        symbols = np.unique(elements // fft_size)
        every = (symbols[:, None] * fft_size + np.arange(fft_size)).reshape(-1)
        places = np.searchsorted(every, elements)
        full = np.zeros((len(every), targets.shape[1]), np.complex128)
        full[places] = targets
        learnt, held = np.zeros(len(every), bool), np.zeros(len(every), bool)
        learnt[places], held[places] = ~held_out, held_out
        return cls(symbols, full, learnt, held)
