"""What the tests run in processes of their own; a module, so that those can import it."""

from __future__ import annotations

import signal
from pathlib import Path


def doubled(key):
    """Twice the value of a key; leaves a file that tells that it ran."""
    if key["value"] < 0:
        raise ValueError("negative")
    Path(key["folder"], f"ran-{key['value']}").touch()
    return 2 * key["value"]


def hear_ctrl_c():
    """A background job of a shell ignores SIGINT, and so would all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
