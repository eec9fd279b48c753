"""The command line: what it refuses, what it lists, and a small sweep of a real link."""

from __future__ import annotations

import csv
import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from scripts import merge
from sims.link import Link
from sims.scenario import SCENARIOS
from sims.store import Store, read
from sims.sweep.evaluator import SionnaEvaluator
from sims.sweep.selection import choose_points, choose_receivers, choose_scenario
from tests.workers import hear_ctrl_c

pytestmark = pytest.mark.tensorflow_only

SCRIPT = Path(__file__).parents[1] / "scripts" / "ber_sweep.py"
SMALL = ["--scenario", "awgn", "--receivers", "perfect_csi", "--workers", "1"]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ber_sweep", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BAD = [
    (["--sceanrio", "awgn"], "--sceanrio", "--scenario"),
    (["--workrs=2"], "--workrs", "--workers"),
    (["--target-block-error", "9"], "--target-block-error", "--target-block-errors"),
    (["--qqqqqqq"], "--qqqqqqq", "--help"),
    (["awgn"], "awgn", ""),
    (["--scenario", "cdl2x2"], "cdl2x2", "cdl_2x2"),
    (["--scenario", '{"name": "x", "fft_sze": 64}'], "fft_sze", "fft_size"),
    (["--set", "sped=30"], "sped", "speed"),
    (["--set", "speed"], "speed", "name=value"),
    (["--set", "speed=fast"], "speed", "fast"),
    (["--set", "cp_length=9999"], "cp_length", "9999"),
    (["--receivers", "ls_linn"], "ls_linn", "ls_lin"),
    (["--receivers", "esn:windw=3"], "windw", "window"),
    (["--receivers", "esn:window=wide"], "window", "wide"),
    (["--receivers", "esn:window"], "window", "name=value"),
    (["--receivers", "fixed_pole:window=8,window=9"], "'window'", "twice"),
    (["--set", "speed=3", "speed=4"], "'speed'", "twice"),
    (["--receivers", "esn:spectral_radius=2"], "spectral_radius", "between 0 and 1"),
    (["--receivers", "fixed_pole:num_poles=-1"], "num_poles", "at least 0"),
    (["--receivers", "fixed_pole:placement=delays"], "placement", "ring"),
    (["--receivers", "bptt:num_poles=0"], "num_poles", "at least 1"),
    (["--scenario", "scarce_pilots", "--receivers", "fixed_pole_tracking"], "tracking", "two OFDM"),
    (["--receivers", "kbest", "--scenario", "nominal_siso"], "kbest", "nominal_siso"),
    (["--receivers", "ls_lin", "ls_lin"], "contenders", "twice"),
    (["--receivers"], "--receivers", "argument"),
    (["--ebno-db", "0:10"], "ebno_db", "start:stop:step"),
    (["--ebno-db", "10:0:1"], "ebno_db", "start <= stop"),
    (["--ebno-db", "0:10:0"], "ebno_db", "positive step"),
    (["--ebno-db", "nan"], "ebno_db", "nan"),
    (["--ebno-db", "ten"], "ebno_db", "ten"),
    (["--ebno-db", "1", "1.0"], "ebno_db", "twice"),
    (["--target-block-errors", "0"], "target_block_errors", "at least 1"),
    (["--max-slots", "-5"], "max_slots", "at least 1"),
    (["--max-slots", "many"], "max_slots", "int"),
    (["--max-slots-slow", "1.5"], "max_slots_slow", "int"),
    (["--slots-per-chunk", "0"], "slots_per_chunk", "at least 1"),
    (["--seed", "-1"], "seed", "at least 0"),
    (["--workers", "0"], "workers", "at least 1"),
    (["--workers", "two"], "workers", "two"),
    (["--cluster", "foo"], "'foo'", "tcp://host:port"),
    (["--cluster", "tcp://host"], "'tcp://host'", "tcp://host:port"),
    (["--cluster", "tcp://host:65536"], "65536", "tcp://host:port"),
    (["--target-bler", "1"], "target_bler", "between 0 and 1"),
    (["--reference", "ep"], "reference", "one of"),
    (["--config", "/nowhere/at/all.yaml"], "config", "all.yaml"),
    (["--out"], "--out", "argument"),
]


@pytest.mark.parametrize(("argv", "culprit", "hint"), BAD)
def test_bad_command_line_is_refused_in_one_line(
    script: ModuleType, capsys: pytest.CaptureFixture[str], argv: list[str], culprit: str, hint: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        script.main(argv)
    lines = capsys.readouterr().err.splitlines()
    assert stop.value.code == 2 and len(lines) == 1
    assert lines[0].startswith("ber_sweep.py: error: ")
    assert culprit in lines[0] and hint in lines[0]


def test_bad_command_line_in_a_process_of_its_own() -> None:
    command = [sys.executable, "scripts/ber_sweep.py", "--recievers", "esn"]
    root = Path(__file__).parents[1]
    ended = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (2, "")
    (line,) = ended.stderr.splitlines()
    assert "--recievers" in line and "did you mean --receivers" in line


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["/nowhere.jsonl", "--out", "x"], "FILE /nowhere.jsonl: no such file of results"),
        ([__file__, "--out", "x"], "holds no row of results"),
        (["--out", "x"], "files"),
        ([__file__], "out"),
        ([__file__, "--otu", "x"], "did you mean --out"),
    ],
    ids=["missing", "other", "none", "nowhere", "flag"],
)
def test_bad_merge_is_refused_in_one_line(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        merge.main(words)
    (line,) = capsys.readouterr().err.splitlines()
    assert stop.value.code == 2 and line.startswith("merge.py: error: ") and says in line


def test_cluster_without_dask_names_what_to_install(
    script: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as stop:
        script.main(["--cluster", "local"])
    lines = capsys.readouterr().err.splitlines()
    assert stop.value.code == 2 and len(lines) == 1
    assert 'pip install "rx-fixedpole[sims,cluster]"' in lines[0]


BAD_FILES = [
    (b"max_slotz: 3", "c.yaml: max_slotz: no such flag; did you mean max_slots"),
    (b"recievers: [esn]", "c.yaml: recievers: no such flag; did you mean receivers"),
    (b"ebno-db: 3", "did you mean ebno_db"),
    (b"3: 4", "c.yaml: 3: no such flag"),
    (b"\xff\xfe", "c.yaml: cannot be read: 'utf-8' codec"),
    (b"seed: [", "c.yaml: cannot be read: while parsing"),
    (b"", "c.yaml: expected flags as name: value, got None"),
    (b"- seed", "c.yaml: expected flags as name: value, got ['seed']"),
    (b"scenario: null", "c.yaml: scenario: expected a value, got none"),
    (b"scenario: 3", "scenario"),
    (b"max_slots: null", "c.yaml: max_slots: expected a value, got none"),
    (b"no_plot: 3", "c.yaml: no_plot: expected true or false, got 3"),
    (b"seed: few", "key \"seed\": Expected a <class 'int'>. Got value: few"),
    (b"seed: {a: 1}", 'key "seed"'),
    (b"receivers: []", "contenders must not be empty"),
    (b"receivers: [3]", 'key "receivers" element 1'),
    (b"receivers: {esn: {window: 3}}", "unknown receiver 'esn="),
    (b"ebno_db: {a: 1}", "ebno_db must be numbers or start:stop:step"),
    (b"set: 3", 'key "set" element 1'),
    (b"set: {sped: 3}", "did you mean 'speed'"),
    (b"config: c.yaml", "c.yaml: config: the file includes itself"),
    (b"config: d.yaml", "d.yaml: cannot be read"),
]


@pytest.mark.parametrize(("content", "message"), BAD_FILES)
def test_bad_config_file_is_refused_in_one_line(
    script: ModuleType,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    content: bytes,
    message: str,
) -> None:
    (tmp_path / "c.yaml").write_bytes(content)
    with pytest.raises(SystemExit) as stop:
        script.main(["--config", str(tmp_path / "c.yaml")])
    lines = capsys.readouterr().err.splitlines()
    assert stop.value.code == 2 and len(lines) == 1
    assert lines[0].startswith("ber_sweep.py: error: ") and message in lines[0]


def test_help_names_every_flag_and_shows_how(
    script: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        script.main(["--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0 and "start:stop:step" in text and "--list" in text
    assert all(len(line) <= 100 for line in text.splitlines())


def test_list_names_scenarios_receivers_and_options(
    script: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script.main(["--list"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in (*SCENARIOS, "perfect_csi", "ls_delay_limited"))
    assert "[genie]" in text and "[slow]" in text and "window=" in text


def test_default_command_makes_a_sweep(script: ModuleType) -> None:
    parser = script.make_parser()
    sweep = script.prepare(parser.parse_args([]), parser)
    assert len(sweep.plan.ebno_db) >= 5 and len(sweep.plan.contenders) >= 2
    assert sweep.plan.scenario == SCENARIOS["cdl_2x2"].to_dict()
    assert sweep.out == Path("results/cdl_2x2") and sweep.workers == os.cpu_count()


def test_config_file_sets_flags_and_flags_after_it_win(script: ModuleType, tmp_path: Path) -> None:
    fields = SCENARIOS["awgn"].to_dict() | {"name": "mine", "fft_size": 72}
    (tmp_path / "c.yaml").write_text(
        f"scenario: {fields!r}\nreceivers: [ls_lin]\nebno_db: [1, '2:4:2']\n".replace(
            "None", "null"
        ).replace("False", "false")
    )
    parser = script.make_parser()
    sweep = script.prepare(
        parser.parse_args(["--config", str(tmp_path / "c.yaml"), "--receivers", "perfect_csi"]),
        parser,
    )
    assert sweep.plan.scenario == fields and sweep.out == Path("results/mine")
    assert sweep.plan.ebno_db == (1.0, 2.0, 4.0)
    assert [contender.name for contender in sweep.plan.contenders] == ["perfect_csi"]


def test_config_file_may_say_it_the_plain_way(script: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "inner.yaml").write_text("ebno_db: 4\nseed: 5\n")
    (tmp_path / "c.yaml").write_text(
        "config: inner.yaml\nreceivers: ls_lin\nebno_db: -3\nno_plot: true\nout: null\n"
        "set: {speed: 3, channel: tdl-b, impairments: {cfo: {subcarriers: 1e-2}}, coderate: null}"
    )
    parser = script.make_parser()
    sweep = script.prepare(parser.parse_args(["--config", str(tmp_path / "c.yaml")]), parser)
    changed = SCENARIOS["cdl_2x2"].replace(
        speed=3, channel="tdl-b", impairments={"cfo": {"subcarriers": 0.01}}, coderate=None
    )
    assert sweep.plan.scenario == changed.to_dict()
    assert [contender.name for contender in sweep.plan.contenders] == ["ls_lin"]
    assert (sweep.plan.ebno_db, sweep.plan.seed, sweep.plot) == ((-3.0,), 5, False)


def test_points() -> None:
    assert choose_points(["-4:-3:0.1"]) == tuple(np.round(np.arange(-4, -2.95, 0.1), 9))
    assert choose_points([" -2", 3, "0:1:2"]) == (-2.0, 3.0, 0.0)


def test_options_become_part_of_the_label_and_defaults_part_of_the_identity() -> None:
    scenario = choose_scenario("awgn", ["fft_size=72", "coderate=None"])
    assert (scenario.fft_size, scenario.coderate) == (72, None)
    plain, given = choose_receivers(["esn", "esn:window=4,delay=2"], scenario)
    assert plain.label != given.label and "window=4, delay=2" in given.label
    assert plain.options == dict(given.options) | {
        key: plain.options[key] for key in ("window", "delay")
    }


@pytest.fixture(scope="module")
def evaluator() -> SionnaEvaluator:
    scenario = choose_scenario("rayleigh")
    return SionnaEvaluator(Link(scenario), {"genie": ("perfect_csi", {}), "ls": ("ls_lin", {})})


def test_counts_depend_on_the_seed_alone_and_nothing_is_traced_twice(
    evaluator: SionnaEvaluator,
) -> None:
    def counts(seed: int, ebno_db: float, labels: str) -> dict[str, list[list[int]]]:
        slots = evaluator.simulate(ebno_db, seed, 8)
        return {
            label: [np.asarray(c).tolist() for c in evaluator.count(label, slots, seed)]
            for label in labels.split()
        }

    first = counts(2**61 + 3, 5.0, "genie ls")
    other = counts(4, 10.0, "ls genie")
    again = counts(2**61 + 3, 5.0, "ls genie")
    assert first == again != other
    assert all(len(c) == 8 for pair in first.values() for c in pair)
    assert sum(first["ls"][0]) > sum(first["genie"][0]) > sum(other["genie"][0])
    assert evaluator.traces() == {"genie": 1, "ls": 1, "link": 1}


def test_llrs_that_are_not_numbers_are_an_error_not_a_count(evaluator: SionnaEvaluator) -> None:
    slots = evaluator.simulate(5.0, 1, 8)
    broken = slots._replace(no=slots.no * float("nan"))
    with pytest.raises(ValueError, match="not finite in 8 of 8 slots"):
        evaluator.count("genie", broken, 1)


def test_output_that_cannot_be_written_is_found_before_anything_is_computed(
    script: ModuleType, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "x.jsonl").write_text("my notes\n")
    (tmp_path / "file").write_text("")
    with Store(tmp_path / "taken.jsonl"):
        for out, reason in {
            "x": "holds something else than results",
            "file/x": str(tmp_path / "file"),
            "taken": "another sweep is writing this file",
            "x" * 300: "File name too long",
        }.items():
            assert script.main([*SMALL, "--out", str(tmp_path / out)]) == 1
            lines = capsys.readouterr().err.splitlines()
            assert len(lines) == 1 and reason in lines[0]  # and no hint that it could be resumed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "taken.jsonl", "x.jsonl"]


@pytest.mark.slow
def test_real_sweep_is_interrupted_and_resumed_by_the_command_it_prints(tmp_path: Path) -> None:
    """Two workers and a Ctrl-C give what one worker gives at a stretch."""
    points = [
        "--ebno-db",
        "0",
        "4",
        "--max-slots",
        "320",
        "--target-block-errors",
        "9999",
        "--slots-per-chunk",
        "16",
    ]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    subprocess.run(
        [sys.executable, str(SCRIPT), *SMALL, *points, "--out", str(whole)],
        check=True,
        capture_output=True,
    )
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), *SMALL[:-1], "2", *points, "--out", str(parts)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        preexec_fn=hear_ctrl_c,
    )
    path = Path(f"{parts}.jsonl")
    while process.poll() is None and not (path.exists() and b"\n" in path.read_bytes()):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    command = re.search(r"To resume:\n +(.*)", errors)
    assert command is not None
    assert 0 < len(read([path]).rows) < 40
    subprocess.run(command[1], shell=True, check=True, capture_output=True)
    assert counts_of(f"{parts}.csv") == counts_of(f"{whole}.csv")
    first, second = (
        {(r.key, r.chunk): (r.bit_errors, r.block_errors) for r in read([p]).rows}
        for p in (path, f"{whole}.jsonl")
    )
    assert first == second


def counts_of(path: str) -> list[dict[str, str]]:
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(file))
