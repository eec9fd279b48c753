"""The win map: who stands where, counted on curves that are known, and its figure and files."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from scripts import win_map as script
from sims.experiments import win_figure, win_map
from sims.experiments.win_standings import Standing, best_of, count_wins, standings
from sims.receivers import RECEIVERS
from sims.statistics import Point
from sims.store import Row, Store
from sims.sweep.selection import runnable

ROLES = {"a": "ours", "b": "ours", "r": "rival", "weak": "rival", "g": "genie", "c": "control"}


def curve(shift: float, slots: int = 1000, floor: float = 0.0) -> dict[float, Point]:
    """Rates 10^(-(Eb/N0 - shift) / 4) on shared luck, with a floor: 0.1 at 4 dB + shift."""
    luck = np.random.default_rng(7).uniform(size=slots)
    return {
        ebno: Point((luck < max(10 ** (-(ebno - shift) / 4), floor)).astype(np.int64), 1)
        for ebno in (0.0, 2.0, 4.0, 6.0, 8.0)
    }


def by_name(found: list[Standing]) -> dict[str, Standing]:
    return {standing.name: standing for standing in found}


def test_gain_is_taken_over_the_best_rival_and_no_genie() -> None:
    curves = {
        "a": curve(-1.5),
        "b": curve(1.0),
        "r": curve(0.5),
        "weak": curve(3.0),
        "g": curve(-3.0),
        "c": curve(0.5),
    }
    found = by_name(standings(curves, ROLES, 0.1))
    assert {standing.rival for standing in found.values()} == {"r"}
    assert found["a"].gain_db == pytest.approx(2.0, abs=0.4)
    verdicts = {name: standing.verdict for name, standing in found.items()}
    assert verdicts == {
        "a": "better",
        "b": "worse",
        "r": "open",
        "weak": "worse",
        "g": "better",
        "c": "open",
    }
    assert found["a"].needs.value == pytest.approx(2.5, abs=0.4)


def test_rivals_that_do_not_come_down_rank_by_their_floor() -> None:
    curves = {"r": curve(0, floor=0.3), "weak": curve(0, floor=0.2), "late": curve(3.5)}
    assert best_of(list(curves), curves, 0.1) == "late"
    del curves["late"]
    assert best_of(list(curves), curves, 0.1) == "weak"
    assert best_of([], curves, 0.1) is None


def test_a_curve_that_alone_comes_down_wins_by_a_bound() -> None:
    found = by_name(standings({"a": curve(0.0), "r": curve(0, floor=0.3)}, ROLES, 0.1))
    assert math.isnan(found["a"].gained.value)
    assert found["a"].verdict == "better"
    assert found["a"].gain_db == pytest.approx(4.0, abs=0.5)  # from 4 dB to the last point


def test_where_neither_comes_down_the_floor_decides() -> None:
    curves = {"a": curve(0, floor=0.2), "b": curve(0, floor=0.5), "r": curve(0, floor=0.3)}
    found = by_name(standings(curves, ROLES, 0.1))
    assert [found[name].verdict for name in "abr"] == ["better", "worse", "open"]
    assert all(math.isnan(standing.gain_db) for standing in found.values())


def test_one_slot_that_differs_is_no_difference() -> None:
    """The bootstrap takes it for one, as no resampling changes its sign."""
    errors = np.array([1] * 30 + [0] * 170)
    fewer = errors.copy()
    fewer[0] = 0
    curves = {"a": {0.0: Point(fewer, 1)}, "r": {0.0: Point(errors, 1)}}
    found = by_name(standings(curves, ROLES, 0.1))["a"]
    assert found.fewer.value > 0 and found.verdict == "open"


def test_wins_count_situations_and_large_ones_apart() -> None:
    large = standings({"a": curve(-3.0), "b": curve(-0.7), "r": curve(0.0)}, ROLES, 0.1)
    small = standings({"a": curve(1.0), "b": curve(-0.7), "r": curve(0.0)}, ROLES, 0.1)
    lost = standings({"a": curve(1.0), "b": curve(2.0), "r": curve(0.0)}, ROLES, 0.1)
    cells = {"large": large, "small": small, "lost": lost}
    assert count_wins(cells) == (2, 1)
    assert count_wins(cells, by="a") == (1, 1)
    assert count_wins(cells, by="b") == (2, 0)


def test_without_a_rival_nothing_is_said() -> None:
    (alone,) = standings({"a": curve(0.0)}, ROLES, 0.1)
    assert alone.rival is None and alone.verdict == "open" and math.isnan(alone.gain_db)


def test_figure_and_table_and_numbers_say_the_same() -> None:
    curves = {"a": curve(-1.5), "c": curve(0, floor=0.5), "r": curve(0, floor=0.3)}
    cells = {"one": standings(curves, ROLES, 0.1), "two": standings({"r": curve(0)}, ROLES, 0.1)}
    about = {"one": "the first", "two": "the second"}
    figure = win_figure.draw(cells, about)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts[0].startswith(">+") and texts[1:] == ["more"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == list(about.values())
    shown = win_figure.table(cells, about)
    assert "the first" in shown and "in 1, by 2 dB or more in 1" in shown
    stored = json.loads(json.dumps(win_figure.numbers(cells), allow_nan=False))
    assert stored["one"][0]["verdict"] == "better" and stored["one"][0]["gain_db"][0] is None


@pytest.mark.parametrize("name", win_map.CELLS)
def test_every_cell_has_ours_and_a_rival_and_a_bound(name: str) -> None:
    cell = win_map.CELLS[name]
    able, _ = runnable(cell.receivers, cell.scenario(name))
    assert {"ours", "rival", "genie"} <= {win_map.ROLES[receiver] for receiver in able}
    assert set(win_map.ROLES) <= set(RECEIVERS)


def test_map_covers_what_it_is_to_show() -> None:
    assert len(win_map.CELLS) >= 16
    assert len(win_map.QUICK_CELLS) == 4 and len(win_map.QUICK_RECEIVERS) == 5
    genies = {name for name, receiver in RECEIVERS.items() if receiver.genie}
    assert not genies & set(win_map.OURS + win_map.PUSCH_OURS + win_map.RIVALS)


def stored(name: str, out: Path, receivers: dict[str, float]) -> None:
    """Leave results of a cell as its sweep would: receivers with a block error rate each."""
    plan = win_map.make_cell(name, out, win_map.Budget()).plan
    with Store(out / f"{name}.jsonl") as store:
        for contender in plan.contenders:
            for ebno in plan.ebno_db:
                if contender.name not in receivers:
                    continue
                wrong = [int(i < 50 * receivers[contender.name] ** (1 + ebno)) for i in range(50)]
                row = Row(
                    key=plan.key(contender, ebno),
                    chunk=0,
                    scenario=dict(plan.scenario),
                    receiver=contender.name,
                    options=dict(contender.options),
                    revision=contender.revision,
                    ebno_db=ebno,
                    seed=0,
                    bits=10,
                    blocks=1,
                    bit_errors=wrong,
                    block_errors=wrong,
                    seconds=1.0,
                    versions={},
                )
                store.append(row)


def test_map_is_drawn_from_what_is_there(tmp_path: Path) -> None:
    stored("mimo_2x2", tmp_path, {"ls_lin": 0.9, "fixed_pole_lmmse": 0.7})
    stored("siso", tmp_path, {"ls_lin": 0.8})
    assert script.main(["--draw-only", "--out", str(tmp_path)]) == 0
    numbers = json.loads((tmp_path / "win_map.json").read_text())
    assert list(numbers) == ["siso", "mimo_2x2"]
    assert [entry["receiver"] for entry in numbers["mimo_2x2"]] == ["fixed_pole_lmmse", "ls_lin"]
    assert numbers["mimo_2x2"][0]["verdict"] == "better"
    assert (tmp_path / "win_map.png").stat().st_size > 1000
    assert "TDL-A, 1x1" in (tmp_path / "win_map.txt").read_text()


@pytest.mark.slow
def test_a_cell_is_swept_and_resumed(tmp_path: Path) -> None:
    command = ["--cells", "siso", "--receivers", "ls_lin", "fixed_pole_lmmse"]
    command += ["--target-block-errors", "1", "--max-slots", "1", "--out", str(tmp_path)]
    assert script.main(command) == 0
    before = (tmp_path / "siso.jsonl").read_bytes()
    (tmp_path / "win_map.png").unlink()
    assert script.main(command) == 0
    assert (tmp_path / "siso.jsonl").read_bytes() == before
    assert (tmp_path / "win_map.png").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--cells", "shrt_0"], "short_0"),
        (["--receivers", "wienr"], "wiener"),
        (["--max-slots", "0"], "max_slots must be at least 1"),
        (["--cell", "siso"], "--cells"),
    ],
    ids=["cell", "receiver", "slots", "flag"],
)
def test_bad_command_line_is_refused_in_one_line(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        script.main(words)
    error = capsys.readouterr().err.strip()
    assert stopped.value.code == 2 and says in error and "\n" not in error


def test_list_names_every_cell(capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(["--list"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in win_map.CELLS)


def test_nothing_there_is_said(tmp_path: Path) -> None:
    with Console(record=True) as console:
        script.leave(tmp_path, win_map.Budget(), console)
    assert "no results" in console.export_text()
