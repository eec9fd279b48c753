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


def errors_of(key):
    """Bit errors that are fewest at a rate of 0.03 and no longer fall after 400 steps."""
    return {
        "errors": {
            label: [
                round(1000 * abs(o["learning_rate"] - 0.03)),
                100 - min(o["num_steps"], 400) // 8,
            ]
            for label, o in key["options"].items()
        }
    }


def environment(key):
    """What the process has for some environment variables."""
    return [os.environ.get(name) for name in key["names"]]


def hear_ctrl_c():
    """A background job of a shell ignores SIGINT, and so would all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
