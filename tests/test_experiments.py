"""Experiments: what they leave, that they resume, and that they show what was computed."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from sims.experiments import (
    EXPERIMENTS,
    Experiment,
    Parts,
    Presentation,
    Record,
    Result,
    statements,
    surface,
)
from sims.experiments import record as files
from sims.experiments.experiment import Module
from sims.experiments.statement_checks import CHECKS

ROOT = Path(__file__).parents[1]
# Those that take seconds with --quick; the others have tests of their own.
SHORT = ("statements", "surface")


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    out = tmp_path_factory.mktemp("paper")
    return {name: EXPERIMENTS[name].run(out, quick=True, seed=0) for name in SHORT}


# --- the registry ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_entry_has_a_module_with_the_three_functions(name):
    experiment = EXPERIMENTS[name]
    assert experiment.name == name and experiment.kind in ("figure", "table")
    assert 10 < len(experiment.title) < 80
    module = experiment.load()
    for function in ("settings", "compute", "present"):
        expected = inspect.signature(getattr(Module, function)).parameters
        assert ["self", *inspect.signature(getattr(module, function)).parameters] == [*expected]
    for quick in (True, False):
        budget = module.settings(quick=quick)
        assert budget["revision"] >= 1 and json.dumps(files.plain(budget), allow_nan=False)


def test_the_registry_is_there_without_tensorflow():
    code = "import sys, sims.experiments as e; print(e.describe_all()); print(*sys.modules)"
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert all(name in shown for name in EXPERIMENTS)
    assert not {"tensorflow", "keras", "sionna"} & set(shown.split())


@pytest.mark.parametrize("name", SHORT)
def test_leaves_numbers_with_settings_and_what_shows_them(outcomes, name):
    outcome = outcomes[name]
    kinds = {path.suffix for path in outcome.paths}
    stored = json.loads(outcome.paths[0].read_text())
    assert outcome.status == "computed" and all(path.stat().st_size for path in outcome.paths)
    assert stored["settings"]["seed"] == 0 and stored["settings"]["quick"] is True
    assert stored["settings"]["budget"] == files.plain(
        EXPERIMENTS[name].load().settings(quick=True)
    )
    assert {"python", "numpy", "scipy"} <= set(stored["settings"]["versions"])
    assert stored["times"]["seconds"] > 0 and "seconds" not in stored["data"]
    if EXPERIMENTS[name].kind == "figure":
        assert kinds == {".json", ".txt", ".png", ".svg"}
    else:
        assert outcome.shown.table
    caption = next(path for path in outcome.paths if path.suffix == ".txt").read_text()
    assert outcome.shown.caption in caption and len(outcome.shown.caption) > 300
    assert all(len(line) <= 100 for line in caption.splitlines())


def test_same_seed_same_bytes(outcomes, tmp_path):
    again = EXPERIMENTS["surface"].run(tmp_path, quick=True, seed=0)
    for one, other in zip(outcomes["surface"].paths, again.paths, strict=True):
        if one.suffix == ".json":
            first, second = (path.read_text().splitlines() for path in (one, other))
            differing = [a for a, b in zip(first, second, strict=True) if a != b]
            assert all(line.startswith('"times"') for line in differing)
        else:
            assert one.read_bytes() == other.read_bytes()


# --- the table of statements -------------------------------------------------------------------


def test_every_statement_of_the_paper_holds(outcomes):
    rows = outcomes["statements"].record.data["rows"]
    assert [row["checked"] for row in rows if row["holds"] is False] == []
    assert {"Lemma 3.1", "Theorem 3.2", "Lemma 3.3", "Corollary 3.4", "Lemma 3.5"} <= {
        row["statement"] for row in rows
    }
    assert all(row["cases"] >= 3 and np.isfinite(row["worst"]) for row in rows)


def test_table_of_statements_has_a_line_a_check_and_says_what_does_not_hold(outcomes):
    record = outcomes["statements"].record
    table = outcomes["statements"].shown.table
    assert len(table.splitlines()) == 2 + len(CHECKS) and "NO" not in table
    broken = [dict(record.data["rows"][0], worst=2.0, holds=False), *record.data["rows"][1:]]
    other = Record(record.name, record.title, record.settings, {"rows": broken}, {})
    assert statements.present(other).table.splitlines()[2].split()[-1] == "NO"


@pytest.mark.parametrize(
    ("relation", "good", "bad"), [("<=", [0.1, 1.0], 1.1), (">=", [1.0, 3], 0.9), (">", [1.1], 1.0)]
)
def test_worst_figure_decides_whether_a_statement_holds(relation, good, bad):
    check = CHECKS[0].__class__("", "", lambda rng, order: iter(()), relation, 1.0)
    assert check.holds(check.worst(good)) is True
    assert check.worst([*good, bad]) == bad and check.holds(bad) is False


def test_statements_depend_on_the_seed_alone(tmp_path):
    budget = dict(statements.settings(quick=True), systems=2)
    parts = Parts(tmp_path / "p", {})
    first, again, other = (
        statements.compute(budget, seed=seed, parts=parts).data for seed in (7, 7, 8)
    )
    assert first == again != other


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.measure.__name__)
def test_every_check_measures_something(check):
    values = [
        value for order in (1, 2, 3) for value in check.measure(np.random.default_rng(order), order)
    ]
    assert values and all(np.isfinite(values)) and min(values) >= 0


# --- the surface -------------------------------------------------------------------------------


def test_surface_is_the_sum_over_time_and_vanishes_at_both_solutions(outcomes):
    data = outcomes["surface"].record.data
    axis, losses = np.array(data["axis"]), np.array(data["loss"])
    powers = axis[:, None] ** np.arange(800)
    target = np.sum([np.array(p) ** np.arange(800) for p in surface.TRUE_POLES], axis=0)
    for row, column in ((0, 3), (40, 70), (90, 90)):
        expected = np.sum((powers[row] + powers[column] - target) ** 2)
        assert losses[row, column] == pytest.approx(expected, rel=1e-9)
    np.testing.assert_allclose(losses, losses.T, rtol=1e-9, atol=1e-18)
    at = [int(np.argmin(np.abs(axis - pole))) for pole in surface.TRUE_POLES]
    lowest = np.sort(losses, axis=None)
    assert max(losses[at[0], at[1]], losses[at[1], at[0]]) == lowest[1] < 1e-20 < 1e-7 < lowest[2]
    # A valley: between the solutions it is shallow, across it steep.
    assert max(data["along"][0], data["along"][-1], data["across"][0]) < 1e-20
    assert 0 < max(data["along"]) < max(data["across"]) / 100


def test_condition_numbers_follow_their_law(outcomes):
    data = outcomes["surface"].record.data
    assert data["condition_at_solution"] == pytest.approx(91.765098, abs=5e-7)
    for case in data["conditions"]:
        scaled = np.array(case["poles"]) * np.array(data["gaps"]) ** 2
        assert scaled[0] == pytest.approx(case["law"], rel=0.02)
        assert all(full > part for full, part in zip(case["full"], case["poles"], strict=True))


def test_figure_has_units_and_its_caption_the_figures(outcomes):
    shown = outcomes["surface"].shown
    panels = [axes for axes in shown.figure.axes if axes.get_title()]
    assert len(panels) == 3
    for axes in panels:
        assert "unit" in axes.get_xlabel()
        assert "unit" in axes.get_ylabel() or "energy" in axes.get_ylabel()
        assert axes.get_legend() is not None
    assert "91.77" in shown.caption and "0.75" in shown.caption


# --- resuming ----------------------------------------------------------------------------------


class Toy:
    """An experiment of three parts that counts what it computes."""

    def __init__(self):
        self.computed, self.fails_at, self.drawn = 0, None, 0

    def settings(self, *, quick):
        return {"revision": 1, "size": 2 if quick else 3}

    def compute(self, settings, *, seed, parts):
        def part(index):
            if index == self.fails_at:
                raise KeyboardInterrupt
            self.computed += 1
            return float(np.random.default_rng([seed, index]).normal())

        values = [parts.get({"index": i}, lambda i=i: part(i)) for i in range(settings["size"])]
        return Result({"values": np.array(values), "unknown": np.nan}, {"duration": 1.5})

    def present(self, record):
        self.drawn += 1
        figure = Figure()
        figure.subplots().plot(record.data["values"])
        return Presentation("A caption.", figure, "a table")


@pytest.fixture
def toy(monkeypatch):
    module = Toy()
    monkeypatch.setattr(Experiment, "load", lambda self: module)
    return module


TOY = Experiment("toy", "figure", "A toy")


def test_what_is_there_with_the_same_settings_is_kept(toy, tmp_path):
    first = TOY.run(tmp_path, quick=False, seed=1)
    assert (first.status, toy.computed) == ("computed", 3)
    before = [path.stat().st_mtime_ns for path in first.paths]
    second = TOY.run(tmp_path, quick=False, seed=1)
    assert (second.status, toy.computed) == ("kept", 3)
    assert before == [path.stat().st_mtime_ns for path in second.paths]
    assert first.record == second.record and first.record.data["unknown"] is None
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "toy.json",
        "toy.png",
        "toy.svg",
        "toy.txt",
    ]


@pytest.mark.parametrize(
    "change", [{"seed": 2}, {"quick": True}, {"force": True}], ids=lambda c: [*c][0]
)
def test_other_settings_and_force_compute_anew(toy, tmp_path, change):
    TOY.run(tmp_path, quick=False, seed=1)
    toy.computed = 0
    again = TOY.run(tmp_path, **({"quick": False, "seed": 1} | change))
    assert again.status == "computed" and toy.computed == len(again.record.data["values"])


def test_other_revision_and_other_versions_compute_anew(toy, tmp_path, monkeypatch):
    TOY.run(tmp_path, quick=False, seed=1)
    monkeypatch.setattr(Toy, "settings", lambda self, *, quick: {"revision": 2, "size": 3})
    assert TOY.run(tmp_path, quick=False, seed=1).status == "computed"
    monkeypatch.setattr("sims.experiments.experiment.versions", lambda: {"numpy": "0"})
    assert TOY.run(tmp_path, quick=False, seed=1).status == "computed"


@pytest.mark.parametrize("suffix", ["txt", "png", "svg"])
def test_a_missing_file_is_drawn_anew_from_the_numbers(toy, tmp_path, suffix):
    TOY.run(tmp_path, quick=False, seed=1)
    (tmp_path / f"toy.{suffix}").unlink()
    assert TOY.run(tmp_path, quick=False, seed=1).status == "redrawn"
    assert (tmp_path / f"toy.{suffix}").exists() and toy.computed == 3


@pytest.mark.parametrize("content", ["", "{", "[]", '{"name": "toy"}', '{"other": 1}'])
def test_damaged_numbers_are_computed_anew(toy, tmp_path, content):
    (tmp_path / "toy.json").write_text(content)
    assert TOY.run(tmp_path, quick=False, seed=1).status == "computed"


def test_an_interruption_loses_one_part_at_most_and_the_result_is_the_same(toy, tmp_path):
    whole = TOY.run(tmp_path / "whole", quick=False, seed=1).record.data
    toy.computed, toy.fails_at = 0, 2
    with pytest.raises(KeyboardInterrupt):
        TOY.run(tmp_path / "parts", quick=False, seed=1)
    assert toy.computed == 2 and not (tmp_path / "parts" / "toy.json").exists()
    with open(tmp_path / "parts" / "toy.parts.jsonl", "ab") as file:
        file.write(b'{"key": "torn')
    toy.computed, toy.fails_at = 0, None
    resumed = TOY.run(tmp_path / "parts", quick=False, seed=1)
    assert toy.computed == 1 and resumed.record.data == whole
    assert not (tmp_path / "parts" / "toy.parts.jsonl").exists()


def test_parts_of_another_seed_are_not_used(toy, tmp_path):
    toy.fails_at = 2
    with pytest.raises(KeyboardInterrupt):
        TOY.run(tmp_path, quick=False, seed=1)
    toy.computed, toy.fails_at = 0, None
    TOY.run(tmp_path, quick=False, seed=2)
    assert toy.computed == 3


def test_a_part_written_after_a_torn_one_is_read(tmp_path):
    path = tmp_path / "parts.jsonl"
    path.write_text('{"torn')
    Parts(path, {}).get({"a": 1}, lambda: 5.0)
    assert Parts(path, {}).get({"a": 1}, lambda: pytest.fail("computed again")) == 5.0


def test_a_figure_never_outlives_its_numbers(toy, tmp_path, monkeypatch):
    TOY.run(tmp_path, quick=False, seed=1)

    def fail(record):
        raise RuntimeError

    monkeypatch.setattr(toy, "present", fail)
    with pytest.raises(RuntimeError):
        TOY.run(tmp_path, quick=False, seed=2)
    assert [path.name for path in tmp_path.iterdir()] == ["toy.json"]


# --- files -------------------------------------------------------------------------------------


def test_plain_values():
    given = {"a": np.array([[1, 2]]), "z": 1 - 2j, 3: (np.nan, np.float32(0.5), True, None, "x")}
    assert files.plain(given) == {
        "a": [[1, 2]],
        "z": [1.0, -2.0],
        "3": [None, 0.5, True, None, "x"],
    }
    with pytest.raises(ValueError, match="infinity"):
        files.plain([np.array([np.inf])])
    with pytest.raises(TypeError, match="Toy"):
        files.plain({"a": Toy()})


def test_a_record_is_read_as_it_was_written(tmp_path):
    record = Record("n", "t", {"seed": 1}, {"values": [1.0, None, 1 / 3]}, {"seconds": 2.0})
    files.write_record(tmp_path / "r.json", record)
    assert files.read(tmp_path / "r.json") == record
    assert files.read(tmp_path / "nothing.json") is None


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "sub" / "file.v1.txt"
    files.replace(path, b"old")

    def fail(*arguments):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        files.replace(path, b"new")
    assert path.read_bytes() == b"old" and len(list(path.parent.iterdir())) == 1
