"""CUDA graphs of PyTorch functions, as far as they can be told without a GPU."""

from __future__ import annotations

import keras
import numpy as np
import pytest

if keras.backend.backend() != "torch":
    pytest.skip("needs Keras on PyTorch", allow_module_level=True)

import torch
from keras import ops

from sims.benchmark import recurrences, slots
from sims.benchmark.captured import Captured, Constants, check_close


def test_on_the_cpu_a_function_is_called_as_it_is():
    calls = []
    twice = Captured(lambda x: calls.append(1) or 2 * x)
    np.testing.assert_array_equal(twice(torch.ones(3)), [2, 2, 2])
    twice(torch.ones(3))
    assert len(calls) == 2 and twice.how == "eager"


def test_what_comes_from_the_host_is_made_once():
    host = np.arange(3.0)
    with Constants("cpu"):
        first, again = (ops.convert_to_tensor(host) for _ in range(2))
        other = ops.convert_to_tensor(host + 1)
        narrow = ops.convert_to_tensor(host, dtype="float32")
    assert first is again and first is not other and narrow.dtype == torch.float32


def test_what_depends_on_constants_alone_is_computed_once_and_the_rest_anew():
    data = torch.ones(3)
    with Constants("cpu"):
        constant = torch.tensor([1.0, 2.0, 3.0])
        assert constant * 2 is constant * 2
        assert constant * 2 is not constant * 3
        assert constant * data is not constant * data
        assert torch.zeros_like(data) is torch.zeros_like(data + 1)
        assert constant.clone() is not constant.clone()


def test_constants_cannot_be_written_over():
    with Constants("cpu"):
        constant = torch.tensor([1.0, 2.0])
        with pytest.raises(RuntimeError, match="would write over a constant"):
            constant.add_(1.0)
        with pytest.raises(RuntimeError, match="would write over a constant"):
            constant[0] = 1.0


@pytest.mark.parametrize(("num_poles", "readout"), [(0, "ard"), (4, "ridge")])
def test_a_slot_received_with_kept_constants_is_the_slot(num_poles, readout):
    given = slots.draw(1, 2, num_poles, readout)
    other = slots.draw(2, 2, num_poles, readout).y[1:]
    kept = Constants("cpu")
    with kept:
        given.receive(given.y, given.no)
        found = given.receive(other, given.no)
    check_close(found, given.receive(other, given.no))


def test_both_sides_of_a_slot_give_the_same():
    given = recurrences.problem(1, 420, 6)
    check_close(recurrences.our_slot(given)(), recurrences.naive_slot(given)())


def test_a_replay_that_is_off_is_refused():
    x = torch.tensor([1.0, 100.0])
    check_close((x, [x + 1e-3]), (x, [x]))
    for wrong in (x + 1.0, x * torch.nan):
        with pytest.raises(ArithmeticError, match="a replay is off by"):
            check_close(wrong, x)
