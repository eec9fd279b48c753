"""One compiled function for eager calls and for graphs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function compiled by XLA.

    XLA keeps what it compiled for graphs apart from what it compiled for eager calls: by way of a
    graph there is one of them, and seconds are spent once.
    """
    inner = tf.function(function, jit_compile=True, autograph=False)
    return tf.function(lambda *args: inner(*args), autograph=False)
