"""What the tests run in processes of their own; a module, so that those can import it."""

from __future__ import annotations

import os
import signal
from pathlib import Path


def doubled(key):
    """Twice the value of a key; leaves a file that tells that it ran."""
    if key["value"] < 0:
        raise ValueError("negative")
    Path(key["folder"], f"ran-{key['value']}").touch()
    return 2 * key["value"]


def environment(key):
    """What the process has for some environment variables."""
    return [os.environ.get(name) for name in key["names"]]


def hear_ctrl_c():
    """A background job of a shell ignores SIGINT, and so would all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
