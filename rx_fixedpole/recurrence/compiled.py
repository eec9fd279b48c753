"""One executable for each bank and each size of signal.

What does not depend on the data (poles, input weights, windows) is a constant of the executable;
tensors are its arguments. Banks get functions of their own: one that all share would be traced anew
for each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from .. import _backend


class Frozen(NamedTuple):
    """An array that can be looked up."""

    content: bytes
    dtype: str
    shape: tuple[int, ...]

    def thawed(self) -> np.ndarray:
        """The array."""
        return np.frombuffer(self.content, self.dtype).reshape(self.shape)


def frozen(x: Any) -> Frozen:
    """An array as something that can be looked up."""
    x = np.ascontiguousarray(x)
    return Frozen(x.tobytes(), x.dtype.str, x.shape)


@lru_cache(maxsize=128)
def compiled(
    function: Callable[..., Any],
    constants: tuple[Hashable, ...],
    fixed: tuple[Hashable, ...],
    *,
    in_graphs: bool = False,
) -> Callable[..., Any]:
    """``function(*constants, *tensors)`` as a compiled function of the tensors.

    Args:
        function: of a module.
        constants: its first arguments; frozen arrays are thawed.
        fixed: whatever must not vary between two calls of a function that is traced once for all
            shapes, such as the size of an axis: it would be traced as unknown.
        in_graphs: compile it in graphs alone.
    """
    del fixed
    first = [c.thawed() if isinstance(c, Frozen) else c for c in constants]

    def call(*tensors: Any) -> Any:
        return function(*first, *tensors)

    return (_backend.stage if in_graphs else _backend.compile)(call, relax_shapes=True)
