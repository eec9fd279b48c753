"""Results of a sweep as per-slot counts in append-only JSON Lines files.

One row is one chunk of slots of one task. Counts are kept slot by slot, never rates, so that
resuming and merging are concatenation and every interval can be taken over slots.
"""

from sims.store.files import Contents, Store, Tail, read
from sims.store.row import OtherFormat, Row, canonical_json, digest

__all__ = [
    "Contents",
    "OtherFormat",
    "Row",
    "Store",
    "Tail",
    "canonical_json",
    "digest",
    "read",
]
