"""The command line of the paper: what it refuses, prints, keeps, and says when it is cut short."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scripts import reproduce_paper
from sims.experiments import EXPERIMENTS, Experiment, Outcome, Presentation, Record

ROOT = Path(__file__).parents[1]

BAD = [
    (["--table", "statments"], "statments", "'statements'"),
    (["--figure", "surfaec"], "surfaec", "'surface'"),
    (["--figure", "qqqq"], "qqqq", "known: "),
    (["--figure", "statements"], "statements", "--table statements"),
    (["--table", "surface"], "surface", "--figure surface"),
    (["--tabel", "statements"], "--tabel", "--table"),
    (["--quik"], "--quik", "--quick"),
    (["statements"], "statements", ""),
    (["--seed", "-1"], "seed", "at least 0"),
    (["--seed", "one"], "seed", "one"),
    (["--table"], "--table", "argument"),
    (["--out"], "--out", "argument"),
]


@pytest.mark.parametrize(("argv", "culprit", "hint"), BAD)
def test_bad_command_line_is_refused_in_one_line(capsys, argv, culprit, hint):
    with pytest.raises(SystemExit) as stop:
        reproduce_paper.main(argv)
    lines = capsys.readouterr().err.splitlines()
    assert stop.value.code == 2 and len(lines) == 1
    assert lines[0].startswith("reproduce_paper.py: error: ")
    assert culprit in lines[0] and hint in lines[0]


def test_help_shows_how(capsys):
    with pytest.raises(SystemExit) as stop:
        reproduce_paper.main(["--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0 and "--table statements" in text
    assert all(len(line) <= 100 for line in text.splitlines())


def test_list_runs_from_anywhere(tmp_path):
    command = [sys.executable, str(ROOT / "scripts" / "reproduce_paper.py"), "--list"]
    text = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert len(text) == len(EXPERIMENTS)
    for line, (name, experiment) in zip(text, EXPERIMENTS.items(), strict=True):
        assert line.split()[:2] == [f"--{experiment.kind}", name] and experiment.title in line


def test_table_is_printed_and_kept(capsys, tmp_path):
    argv = ["--table", "statements", "--quick", "--out", str(tmp_path)]
    assert reproduce_paper.main(argv) == 0
    first = capsys.readouterr().out
    assert "Theorem 3.2" in first and "computed in" in first
    assert reproduce_paper.main(argv) == 0
    second = capsys.readouterr().out
    assert "Theorem 3.2" in second and "skipped, there already with the same settings" in second
    assert sorted(path.name for path in tmp_path.iterdir()) == ["statements.json", "statements.txt"]


@pytest.fixture
def ran(monkeypatch, tmp_path):
    """Replace what runs by a list of what was asked for; names in the dict raise their values."""
    asked, fails = [], {}

    def run(self, out, *, quick, seed, force=False):
        asked.append((self.name, str(out), quick, seed, force))
        if self.name in fails:
            raise fails[self.name]
        record = Record(self.name, self.title, {}, {}, {})
        return Outcome(record, Presentation("c"), [out / self.name], "computed", 0.1)

    monkeypatch.setattr(Experiment, "run", run)
    monkeypatch.chdir(tmp_path)
    return asked, fails


def test_no_arguments_make_everything(ran):
    assert reproduce_paper.main([]) == 0
    assert ran[0] == [(name, "results/paper", False, 0, False) for name in EXPERIMENTS]


def test_quick_results_do_not_replace_full_ones(ran):
    assert reproduce_paper.main(["--quick", "--seed", "4", "--force"]) == 0
    assert ran[0] == [(name, "results/paper_quick", True, 4, True) for name in EXPERIMENTS]


def test_what_is_asked_for_twice_is_made_once(ran):
    argv = ["--figure", "surface", "--table", "statements", "statements", "--out", "x"]
    assert reproduce_paper.main(argv) == 0
    assert [name for name, *_ in ran[0]] == ["statements", "surface"]


@pytest.mark.parametrize("error", [OSError("no space left"), ValueError("a bug")])
def test_one_failure_does_not_keep_the_others_from_running(ran, capsys, error):
    ran[1]["statements"] = error
    assert reproduce_paper.main([]) == 1
    assert [name for name, *_ in ran[0]] == list(EXPERIMENTS)
    errors = capsys.readouterr().err
    assert str(error) in errors and "failed: statements" in errors
    assert ("Traceback" in errors) is isinstance(error, ValueError)


def test_an_interruption_says_how_to_resume(ran, capsys):
    ran[1]["surface"] = KeyboardInterrupt()
    assert reproduce_paper.main(["--force", "--seed", "3"]) == 130
    errors = capsys.readouterr().err
    assert "To resume:" in errors and "--seed 3" in errors and "--force" not in errors
