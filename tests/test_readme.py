"""The README: its script runs as it stands and shows what it says, its links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    found = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    return [content for name, content in found if name == language]


def rates(output):
    """Receiver -> block error rates, of what the script prints."""
    lines = re.findall(r"^(.+?) +BLER at .*?: ([\d. ]+)$", output, re.MULTILINE)
    return {name: [float(rate) for rate in found.split()] for name, found in lines}


@pytest.mark.tensorflow_only
def test_the_script_runs_and_shows_the_gain_that_is_printed_below_it():
    (script,) = blocks("python")
    for shown, tried in (("max_mc_iter=3", "max_mc_iter=1"), ("batch_size=64", "batch_size=32")):
        assert shown in script
        script = script.replace(shown, tried)  # the gain shows with a sixth of the slots
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=500
    )
    assert run.returncode == 0, run.stderr
    (shown,) = [found for found in map(rates, blocks("")) if found]
    for found in (rates(run.stdout), shown):
        ours, theirs = found["fixed poles"], found["LS"]
        assert len(ours) == len(theirs) == 3
        assert all(a < b for a, b in zip(ours, theirs, strict=True)), found


def test_links_and_files_exist():
    links = re.findall(r"\]\(([^)]+)\)", TEXT)
    links = [link for link in links if "://" not in link and not link.startswith("#")]
    configs = [f for f in re.findall(r"--config (\S+\.yaml)", TEXT) if "NAME" not in f]
    assert links and configs
    for path in (*links, *configs):
        assert (ROOT / path).exists(), path
    for anchor in re.findall(r"\]\(#([^)]+)\)", TEXT):
        titles = re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)
        assert anchor in {re.sub(r"[^\w -]", "", t).lower().replace(" ", "-") for t in titles}


def test_commands_are_targets_of_the_makefile():
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    used = set(re.findall(r"(?:^|`)make ([a-z-]+)", TEXT, re.MULTILINE))
    assert {"sweep", "test"} <= used <= set(targets)
