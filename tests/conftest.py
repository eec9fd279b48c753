"""Settings shared by all tests, for either Keras backend."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# One thread an operation: sums come out in one order, and test workers do not fight for cores.
for _name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ.setdefault(_name, "1")


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    """Give every test the same random streams, whatever ran before it.

    Only libraries that the test's module has already imported are touched: the tests of pure
    NumPy code start at once, and those of the numerics run where Sionna is not installed.
    """
    keras, sionna = sys.modules.get("keras"), sys.modules.get("sionna.phy")
    if keras is not None:
        keras.utils.set_random_seed(1)
    if sionna is not None:
        sionna.config.seed = 1
    yield


@pytest.fixture
def eagerly() -> Iterator[None]:
    """Trace and compile nothing: that takes longer than the few slots of a test."""
    from tests.modes import without_graphs

    with without_graphs():
        yield
