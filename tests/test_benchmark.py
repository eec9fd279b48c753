"""The benchmark: its frame, its own naive form, and that both sides of a bar do the same work."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf

from rx_fixedpole import FixedPoleEqualizer, poles
from rx_fixedpole.readout import Ridge
from scripts import benchmark
from sims.benchmark import BARS, Bar, Budget, Found, naive, recurrences, slots, timing
from sims.benchmark.run import choose, run
from sims.benchmark.timing import compare, interleaved
from sims.link import Link
from sims.scenario import SCENARIOS
from tests.oracles import driven_states, tolerance

pytestmark = pytest.mark.tensorflow_only


def test_turns_are_taken_and_counted():
    calls = []
    seconds = interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 3)
    assert [len(times) for times in seconds.values()] == [3, 3]
    assert all(t > 0 for times in seconds.values() for t in times)
    assert calls[:4] == ["a", "a", "b", "b"]  # both warm up before a turn counts


def test_what_is_three_times_slower_is_found_to_be(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])

    def taking(seconds):
        def call():
            clock[0] += seconds

        return call

    faster = compare(taking(1.0), taking(3.0), 5)
    assert faster.value == pytest.approx(3) and faster.details["ours_ms"] == pytest.approx(1000)
    assert compare(taking(1.0), taking(3.0), 5, faster=False).value == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("sense", "value", "verdict"),
    [
        ("at least", 2.0, "met"),
        ("at least", 1.9, "MISSED"),
        ("at most", 2.0, "met"),
        ("at most", 2.1, "MISSED"),
        ("at most", float("nan"), "MISSED"),
        ("at least", None, "not measured"),
        ("info", 1.0, ""),
    ],
)
def test_verdicts(sense, value, verdict):
    assert Bar("x", sense, 2.0, lambda budget: Found(value)).verdict(value) == verdict


def test_the_naive_form_is_the_bank():
    given = recurrences.problem(2, 50, 5)
    expected = driven_states(given.u.numpy(), given.poles, given.input_weights)
    states = recurrences.naive_states(given)(given.u)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(states, expected, rtol=0, atol=tolerance("complex64", 20) * scale)


def test_naive_training_is_a_ridge_regression():
    given = recurrences.problem(2, 50, 5)
    states = recurrences.naive_states(given)(given.u)
    theirs = naive.train(states, given.targets, 0.1)
    ours = Ridge().fit(states, given.targets, 0.1).weights
    np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-6)


def test_both_sides_of_a_slot_give_the_same():
    given = recurrences.problem(1, 420, 6)
    ours, theirs = recurrences.our_slot(given)(), recurrences.naive_slot(given)()
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * np.abs(theirs).max())


@pytest.fixture(scope="module")
def sent_2x2():
    link = Link(SCENARIOS["cdl_2x2"])
    return link, link.transmit(2, 10.0)


@pytest.mark.parametrize("num_poles", [0, 8])
def test_the_timed_receiver_is_the_equalizer(num_poles, sent_2x2):
    link, sent = sent_2x2
    grid = slots.Grid()
    targets = sent.x[0].numpy().reshape(slots.STREAMS, -1)[:, grid.elements(pilots=True)].T
    ours = slots.Receiver(grid, targets, 2, num_poles, "ard")
    found, variance = ours(sent.y_time[:, 0], tf.reshape(sent.no, [1]))
    ring = poles.ring(num_poles, radius=slots.RING_RADIUS) if num_poles else None
    block = FixedPoleEqualizer(
        link.resource_grid, link.stream_management, poles=ring, l_min=slots.L_MIN
    )
    expected, no_eff = block(sent.y_time, sent.no)
    shape = tuple(found.shape)
    np.testing.assert_allclose(found, tf.reshape(expected, shape), rtol=0, atol=1e-4)
    np.testing.assert_allclose(variance, tf.reshape(no_eff, shape), rtol=1e-3)


def test_a_limit_for_a_device_is_information_on_another():
    bar = Bar("x", "at most", 0.5, lambda budget: Found(2.0), "gpu")
    assert bar.on("gpu") is bar
    assert bar.on("cpu").verdict(2.0) == "" and bar.on("cpu").title == "x"


def test_bars_are_chosen_by_label_and_title():
    assert list(choose(["1"])) == ["1"]
    assert list(choose(["5[ab]", "1"])) == ["1", "5a", "5b"]  # in the order of the list
    assert all("gram" in bar.title for bar in choose(["gram"]).values())
    assert choose([]) == BARS
    with pytest.raises(ValueError, match="no bar matches 'nothing'"):
        choose(["nothing"])


def test_a_run_tells_keeps_and_survives_what_fails(tmp_path, capsys):
    def fails(budget):
        raise RuntimeError("no such thing")

    bars = {
        "a": Bar("good", "at least", 2.0, lambda budget: Found(3.0, "fine", {"x": np.ones(2)})),
        "b": Bar("bad", "at least", 2.0, fails),
        "c": Bar("slow", "at most", 1.0, lambda budget: Found(1.5)),
    }
    table = run(bars, Budget(rounds=1), tmp_path / "found.json")
    found = json.loads((tmp_path / "found.json").read_text())
    verdicts = {label: row["verdict"] for label, row in found["bars"].items()}
    assert verdicts == {"a": "met", "b": "not measured", "c": "MISSED"}
    assert found["bars"]["b"]["note"] == "RuntimeError: no such thing"
    assert found["machine"]["cgemm_gflops"] > 0 and found["versions"]["tensorflow"]
    assert "at least 2" in table and "MISSED" in table
    assert "good: 3 (fine)" in capsys.readouterr().out


@pytest.mark.parametrize("label", ["11a", "11b"])
def test_precision_bars_are_met(label):
    assert BARS[label].verdict(BARS[label].measure(Budget(rounds=1)).value) == "met"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--filter", "nothing"], "no bar matches 'nothing'"),
        (["--rounds", "0"], "--rounds must be at least 1, got 0"),
        (["--threads", "0"], "--threads must be at least 1, got 0"),
        (["--devise", "cpu"], "did you mean --device"),
        (["--device", "gpu"], "TensorFlow sees no GPU"),
    ],
)
def test_bad_command_lines_end_in_one_line(words, message, capsys):
    if "gpu" in words and tf.config.list_physical_devices("GPU"):
        pytest.skip("there is one")
    with pytest.raises(SystemExit) as end:
        benchmark.main(words)
    error = capsys.readouterr().err
    assert end.value.code == 2 and message in error and error.count("\n") == 1


def test_the_list_names_every_bar(capsys):
    assert benchmark.main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(BARS)
