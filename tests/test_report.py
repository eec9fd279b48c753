"""Reports: what is said is what the counts say, in every form, and bad commands say what is bad."""

from __future__ import annotations

import dataclasses
import importlib
import io
import itertools
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy_sweep import NumpyFactory, make_plan
from rich.console import Console

from sims.report import Known, match, read_table, sections, table_rows, write_table
from sims.report.verdicts import became_worse, report
from sims.statistics import Point, error_rate, holm, rate_difference
from sims.statistics.significance import flipped, shuffled
from sims.store import Row
from sims.sweep.execution import Sweep, execute

KNOWN = {"ours": Known("<ours>", {"window": 8}), "genie": Known("bound", genie=True)}


def rows(
    name: str, loss_db: float, *, revision: int = 1, seed: int = 0, chunks: int = 6, window: int = 8
) -> list[Row]:
    """Rows of a receiver that loses a block where the slot's fade is below its needs."""
    found = []
    for ebno, chunk in itertools.product((0.0, 5.0, 15.0), range(chunks)):
        fade = np.random.default_rng([seed, int(ebno), chunk]).exponential(size=(40, 2))
        lost = (10 * np.log10(fade) + ebno < loss_db).sum(axis=1)
        found.append(
            Row(
                f"{name}{revision}{seed}{window}{ebno}",
                chunk,
                {"name": "s", "coderate": 0.5},
                name,
                {"window": window},
                revision,
                ebno,
                seed,
                100,
                2,
                [int(n) * 7 for n in lost],
                [int(n) for n in lost],
                0.1,
                {"sionna": "1"},
            )
        )
    return found


def test_only_chunks_without_a_gap_count_and_sections_share_their_slots() -> None:
    some = [row for row in rows("ours", 0.0) if row.chunk != 2]
    first, second = sections([*reversed(some), *rows("ours", 0.0, seed=1)], KNOWN)
    assert (first.seed, second.seed) == (0, 1)
    point = first.series[0].curves["bler"][5.0]
    expected = [n for row in some if row.ebno_db == 5.0 and row.chunk < 2 for n in row.block_errors]
    assert point.errors.tolist() == expected and first.series[0].unused == 9


def test_labels_show_options_that_are_not_the_defaults_and_revisions_where_there_are_two() -> None:
    (section,) = sections(
        [*rows("ours", 0.0), *rows("ours", 0.0, window=9), *rows("ours", 0.0, revision=2)], KNOWN
    )
    labels = [one.label for one in section.series]
    assert labels == ["<ours>, revision 1", "<ours> (window=9)", "<ours>, revision 2"]
    assert section.series[1].identity == "ours:window=9"


@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_table_comes_back_from_either_form(tmp_path: Path, suffix: str) -> None:
    table = table_rows(sections([*rows("ours", 0.0), *rows("genie", -99.0)], KNOWN))
    write_table(table, tmp_path / f"t{suffix}")
    assert read_table(tmp_path / f"t{suffix}") == table
    (tmp_path / f"bad{suffix}").write_text('[{"a": 1}]' if suffix == ".json" else "a\n1\n")
    with pytest.raises(ValueError, match="expected the columns scenario"):
        read_table(tmp_path / f"bad{suffix}")
    with pytest.raises(ValueError, match=r"must end in \.csv or \.json"):
        write_table(table, tmp_path / "t.txt")


def test_one_slot_that_differs_is_no_difference_although_the_bootstrap_says_so() -> None:
    none = Point(np.zeros(40, int), 1)
    for count, shown in ((1, False), (5, False), (6, True)):
        some = Point((np.arange(40) < count).astype(int), 1)
        difference = rate_difference(some, none)
        assert difference.estimate.low > 0 and difference.shown is shown
        assert difference.p_value == pytest.approx(2.0 ** (1 - count))


def test_tests_of_no_difference_reject_as_often_as_their_level_and_see_what_is_there() -> None:
    rng = np.random.default_rng(3)

    def draw(shift: float) -> tuple[Point, Point]:
        common = rng.normal(size=(60, 1))
        pair = common + rng.normal(size=(60, 2)) + [0, shift]
        return Point((pair[:, 0] > 1).astype(int), 1), Point((pair[:, 1] > 1).astype(int), 1)

    for test in (flipped, shuffled):
        null = [test([draw(0.0)]) for _ in range(60)]
        assert np.mean(np.array(null) <= 0.05) <= 0.15
        assert test([draw(1.5), draw(1.5)]) < 0.01
    assert holm([0.5, 0.01]) == [0.5, 0.02]


def test_comparison_is_paired_where_slots_are_shared_and_raises_alarm_only_for_what_is_worse() -> (
    None
):
    before = sections(rows("ours", 0.0), KNOWN)
    worse = match(before, sections(rows("ours", 1.5, revision=2), KNOWN))
    assert worse[0].paired and "revision 1 → 2" in worse[0].label
    assert became_worse(worse, confidence=0.95)
    text = report(worse, confidence=0.95)
    assert "worse" in text and "gained at BLER 10 %" in text and "-1." in text
    other = match(before, sections(rows("ours", 0.0, seed=1), KNOWN))
    assert not other[0].paired and not became_worse(other, confidence=0.95)
    assert not became_worse(match(before, before), confidence=0.95)
    better = match(before, sections(rows("ours", -1.5), KNOWN))
    assert not became_worse(better, confidence=0.95) and "better" in report(better, confidence=0.95)


def made_page() -> str:
    page = pytest.importorskip("sims.report.page", exc_type=ImportError)
    found = sections([*rows("ours", 0.0), *rows("genie", -2.0), *rows("</script><b>", 0.0)], KNOWN)
    return str(page.page(found, page.Origin("report.py 'a<b'", ["x.jsonl"])))


def test_page_says_it_in_words_and_escapes_what_it_shows() -> None:
    text = made_page()
    body = text[text.index("<body>") :]
    assert (
        "bound (window=8) (genie) beats &lt;ours&gt; by " in body
        and "no difference is shown" in body
    )
    assert "a&lt;b" in body and "</script><b>" not in body
    page = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)  # the library speaks of links
    assert "src=" not in page and 'href="http' not in page and "default-src 'none'" in page
    errors = [n for row in rows("ours", 0.0) if row.ebno_db == 5.0 for n in row.block_errors]
    assert f"<td>{sum(errors)}</td><td>{error_rate(errors, 2).value:.3g}</td>" in body


@pytest.mark.slow
def test_browser_draws_the_page_offline(tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("there is no browser")
    # The page is asked to hide its first receiver, as a click on the legend does.
    check = """<script>addEventListener("load", async () => {
      const plot = document.querySelector(".js-plotly-plot");
      const drawn = () => plot.querySelectorAll(".scatterlayer .trace").length;
      const before = drawn();
      const legend = plot.querySelector(".legend").getBoundingClientRect();
      const seen = legend.left >= 0 && legend.right <= innerWidth;
      plot.querySelector(".legendtoggle").dispatchEvent(new MouseEvent("mousedown"));
      plot.querySelector(".legendtoggle").dispatchEvent(new MouseEvent("mouseup"));
      await new Promise(done => setTimeout(done, 1500));
      document.title = `drawn ${before} then ${drawn()} errors ${window.faults} ${seen}`;
    });</script>"""
    faults = '<script>window.faults = 0; addEventListener("error", () => window.faults++);'
    faults += 'addEventListener("securitypolicyviolation", () => window.faults++);</script>'
    text = made_page().replace("<style>", faults + "<style>", 1)
    (tmp_path / "page.html").write_text(text.replace("</body>", check + "</body>"))
    dom = subprocess.run(
        [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom"]
        + ["--virtual-time-budget=10000", f"file://{tmp_path / 'page.html'}"],
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout
    title = dom[dom.index("<title>") :].split("</title>")[0]
    assert title == "<title>drawn 6 then 4 errors 0 true"


def test_events_of_a_sweep_are_one_json_object_a_line(tmp_path: Path) -> None:
    plan = make_plan("good", "raises")
    sweep = Sweep(plan, NumpyFactory(scratch=str(tmp_path)), tmp_path / "x", plot=False)
    stream, people = io.StringIO(), io.StringIO()
    execute(sweep, Console(file=people), stream)
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds[0] == "start" and kinds[-1] == "end" and "failure" in kinds
    points = [event for event in events if event["event"] == "point"]
    assert events[-1]["points_done"] == len(points) and events[-1]["reason"] is None
    slots = sum(e["slots"] for e in events if e["event"] == "chunk" and e["receiver"] == "good")
    assert slots >= sum(point["slots"] for point in points if point["receiver"] == "good")


BAD = [
    ("report", [], "files"),
    ("report", ["nowhere.jsonl"], "No such file"),
    ("report", ["{tmp}/resluts.jsonl"], "did you mean {tmp}/results.jsonl"),
    ("report", ["{tmp}"], "expected a file of results"),
    ("report", ["{tmp}/notes.jsonl"], "expected a file of results"),
    ("report", ["{tmp}/empty.jsonl"], "it is empty"),
    ("report", ["x", "--ouut", "y.html"], "--out"),
    ("report", ["x", "--out", "y.pdf"], "--out must end in .html"),
    ("report", ["x", "--out", "/no/folder/y.csv"], "--out"),
    ("report", ["x", "--out"], "--out"),
    ("report", ["x", "--target-bler", "0"], "--target-bler must lie between 0 and 1"),
    ("report", ["x", "--target-bler", "often"], "target_bler"),
    ("report", ["x", "--target-ber", "2"], "--target-ber must lie between 0 and 1"),
    ("report", ["x", "--target-ble", "0.1"], "--target-bler"),
    ("compare", [], "files"),
    ("compare", ["x"], "expected two, before and after, got 1"),
    ("compare", ["x", "y", "z"], "got 3"),
    ("compare", ["x", "y"], "No such file"),
    ("compare", ["x", "--receivers", "a"], "--receivers: expected two, got 1"),
    ("compare", ["x", "--recievers", "a", "b"], "--receivers"),
    ("compare", ["x", "y", "--confidence", "95"], "--confidence must lie between 0 and 1"),
    ("compare", ["x", "y", "--target", "-1"], "--target must lie between 0 and 1"),
    ("compare", ["x", "y", "--target", "low"], "target"),
    ("compare", ["x", "y", "--fail-if-wrose"], "--fail-if-worse"),
    ("compare", ["{tmp}/results.jsonl", "--receivers", "ls_lin", "ourz"], "did you mean"),
    ("compare", ["{tmp}/results.jsonl", "--receivers", "esn:windw=3", "ours"], "window"),
    ("compare", ["{tmp}/results.jsonl", "{tmp}/other.jsonl"], "share no scenario and receiver"),
]


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(("script", "argv", "message"), BAD)
def test_bad_command_line_is_refused_in_one_line(
    script: str,
    argv: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    contents = {"results": rows("ls_lin", 0.0), "other": rows("ours", 0.0), "empty": []}
    for name, some in contents.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(row.to_line() + "\n" for row in some))
    (tmp_path / "notes.jsonl").write_text("my notes\n")
    with pytest.raises(SystemExit) as stop:
        importlib.import_module(f"scripts.{script}").main(
            [word.format(tmp=tmp_path) for word in argv]
        )
    lines = capsys.readouterr().err.splitlines()
    assert stop.value.code == 2 and len(lines) == 1
    assert lines[0].startswith(f"{script}.py: error: ")
    assert message.format(tmp=tmp_path) in lines[0]


@pytest.mark.tensorflow_only
def test_compare_exits_with_one_if_something_became_worse(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, loss in (("a", 0.0), ("b", 1.5)):
        lines = [dataclasses.replace(row).to_line() for row in rows("ours", loss)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    compare = importlib.import_module("scripts.compare").main
    a, b = str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")
    assert compare([a, b]) == 0 and compare([b, a, "--fail-if-worse"]) == 0
    assert compare([a, b, "--fail-if-worse"]) == 1 and "worse: s, ours" in capsys.readouterr().out
