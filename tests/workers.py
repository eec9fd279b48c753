"""What worker processes of the tests run; a module of its own, so that they can import it."""

from __future__ import annotations

from pathlib import Path


def doubled(key):
    """Twice the value of a key; leaves a file that tells that it ran."""
    if key["value"] < 0:
        raise ValueError("negative")
    Path(key["folder"], f"ran-{key['value']}").touch()
    return 2 * key["value"]
