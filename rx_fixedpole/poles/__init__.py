"""Where to put fixed poles, and what a placement can reach before anything is trained.

Every placement is a function ``placement(num_poles, ...)`` that returns ``complex128`` ``[K]``.
All of them lie inside the unit circle, except :func:`delays`, which lies on it: it describes a
frequency response along subcarriers, and no recurrence in time may use it.

To add a placement, write one function and one entry in :data:`PLACEMENTS`.

>>> sorted(PLACEMENTS)[:3]
['delays', 'disc', 'from_delay_spread']
>>> PLACEMENTS["ring"](4).round(3).tolist()
[(0.8+0j), 0.8j, (-0.8+0j), (-0-0.8j)]
"""

from __future__ import annotations

from collections.abc import Callable

from rx_fixedpole.poles.checks import ComplexArray, validate
from rx_fixedpole.poles.deterministic import (
    delays,
    from_delay_spread,
    log_spaced,
    real_line,
    ring,
    zolotarev,
)
from rx_fixedpole.poles.quality import approximation_error, gram_condition
from rx_fixedpole.poles.stochastic import disc, lru, random_matrix

__all__ = [
    "PLACEMENTS",
    "approximation_error",
    "delays",
    "disc",
    "from_delay_spread",
    "gram_condition",
    "log_spaced",
    "lru",
    "random_matrix",
    "real_line",
    "ring",
    "validate",
    "zolotarev",
]

PLACEMENTS: dict[str, Callable[..., ComplexArray]] = {
    "ring": ring,
    "disc": disc,
    "real_line": real_line,
    "zolotarev": zolotarev,
    "log_spaced": log_spaced,
    "from_delay_spread": from_delay_spread,
    "random_matrix": random_matrix,
    "lru": lru,
    "delays": delays,
}
