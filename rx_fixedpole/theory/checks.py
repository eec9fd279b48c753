"""Argument checks of the theory: systems are poles with gains, and real ones stay real."""

from __future__ import annotations

import operator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

# float64 for real systems, complex128 for complex ones.
Array: TypeAlias = NDArray[Any]


def numbers(value: ArrayLike, name: str, *, batch: bool = False) -> Array:
    """Return finite numbers of shape ``[K]``, with ``batch`` also ``[..., K]``, K >= 1."""
    shape = "[..., K]" if batch else "[K]"
    try:
        given = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} must have shape {shape}, got ragged rows") from error
    if given.dtype.kind not in "iufc":
        raise TypeError(f"{name} must hold real or complex numbers, got dtype {given.dtype}")
    if given.ndim == 0 or given.shape[-1] == 0 or (given.ndim > 1 and not batch):
        raise ValueError(f"{name} must have shape {shape} with K >= 1, got shape {given.shape}")
    if not np.all(np.isfinite(given)):
        raise ValueError(f"{name} must be finite, got {given[~np.isfinite(given)][0]}")
    return given.astype(np.complex128 if given.dtype.kind == "c" else np.float64)


def stable(value: ArrayLike, name: str, *, batch: bool = False) -> Array:
    """Return poles inside the unit circle, where the sums over all time converge."""
    poles = numbers(value, name, batch=batch)
    largest = np.max(np.abs(poles), initial=0.0)
    if largest >= 1:
        raise ValueError(f"{name} must satisfy |p| < 1, got |p| = {largest:.6g}")
    return poles


def distinct(poles: Array, name: str) -> Array:
    """Return the poles ``[K]`` if no two of them are equal."""
    values, counts = np.unique(poles, return_counts=True)
    if values.size < poles.size:
        raise ValueError(
            f"{name} must be pairwise distinct, got {values[np.argmax(counts)]} more than once"
        )
    return poles


def matching_gains(value: ArrayLike | None, poles: Array, name: str, owner: str) -> Array:
    """Return gains for the last axis of ``poles``: ones if None; ``owner`` names the poles."""
    if value is None:
        return np.ones(poles.shape[-1])
    gains = numbers(value, name, batch=poles.ndim > 1)
    if gains.shape not in (poles.shape, poles.shape[-1:]):
        raise ValueError(
            f"{name} must have one gain for each of {owner}, got shapes {gains.shape} and "
            f"{poles.shape}"
        )
    return gains


def solution(poles: ArrayLike, gains: ArrayLike | None) -> tuple[Array, Array]:
    """Return pairwise distinct poles inside the circle, and their gains."""
    bank = distinct(stable(poles, "poles"), "poles")
    return bank, matching_gains(gains, bank, "gains", "poles")


def whole(value: Any, name: str, *, minimum: int = 1) -> int:
    """Return ``value`` as an int of at least ``minimum``; a bool or a float is a TypeError."""
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None
    if number < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {number}")
    return number
