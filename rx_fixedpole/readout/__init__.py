"""From pilots to weights: regularised least squares, once a slot or along a stream.

A readout is a small frozen dataclass with a method ``fit(features, targets, no, *, prior=None,
groups=None, blocks=None)`` that gives a ``RidgeFit``. Nothing is pooled over the batch: every row
is a slot of its own. To add one: a dataclass with that method and an entry in ``READOUTS``.
"""

from .ard import ARDRidge
from .block_rls import BlockRLS, RLSState
from .ridge import Ridge
from .solve import RidgeFit

READOUTS = {"ridge": Ridge, "ard": ARDRidge, "block_rls": BlockRLS}

__all__ = ["READOUTS", "ARDRidge", "BlockRLS", "RLSState", "Ridge", "RidgeFit"]
