"""The order of the modules: each may import only what stands left of it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RANKS = {
    "rx_fixedpole": ["poles theory _backend", "recurrence readout", "layers", "receivers"],
    "sims": [
        "impairments",
        "scenario",
        "link",
        "training",
        "receivers",
        "sweep",
        "experiments",
        "benchmark",
    ],
}
# A second line of modules in sims, which imports nothing else of ours: files of results are read
# without a link, and explained without one.
ASIDE = ["store", "statistics", "plots", "report"]
# One file names a Keras backend, the receivers alone know Sionna, and design time is NumPy's.
FRAMEWORKS = {"keras", "tensorflow", "torch", "jax", "sionna"}
ALLOWED_FRAMEWORKS = {
    "rx_fixedpole._backend": FRAMEWORKS - {"sionna"},
    "rx_fixedpole.recurrence": {"keras"},
    "rx_fixedpole.readout": {"keras"},
    "rx_fixedpole.layers": {"keras"},
    "rx_fixedpole.receivers": {"keras", "sionna"},
    "sims": FRAMEWORKS,
    "scripts": FRAMEWORKS,
}

FILES = [f for part in (*RANKS, "scripts") for f in sorted((ROOT / part).rglob("*.py"))]


def imported(path):
    """Yield every dotted name that a file imports, inside functions too."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = [*above, *([node.module] if node.module else [])]
            yield from (".".join([*base, alias.name]) for alias in node.names)


def rank(part, module):
    """Return the place of a module in the order; None for the package itself and the aside."""
    places = [i for i, names in enumerate(RANKS[part]) if module in names.split()]
    return places[0] if places else None


def allowed(part, module, name):
    to_part, to_module = (name.split(".") + [""])[:2]
    if to_part in FRAMEWORKS:
        home = part if part != "rx_fixedpole" and module not in ASIDE else f"{part}.{module}"
        return to_part in ALLOWED_FRAMEWORKS.get(home, set())
    if to_part not in (*RANKS, "scripts", "tests"):
        return True
    if to_module == module and to_part == part:
        return True
    if part == "scripts":
        return to_part in RANKS or name.startswith("scripts._")
    if to_part != part:
        return (part, to_part) == ("sims", "rx_fixedpole") and module not in ASIDE
    if module in ASIDE:
        return to_module in ASIDE[: ASIDE.index(module)]
    if to_module in ASIDE:
        return module in ("sweep", "experiments", "benchmark")
    here, there = rank(part, module), rank(part, to_module)
    return here is not None and there is not None and there < here


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_import_goes_to_the_left(path):
    part, *below = path.relative_to(ROOT).with_suffix("").parts
    if part == "rx_fixedpole" and below == ["__init__"]:
        return  # The package's front hands everything on, lazily: see the tests below.
    known = (
        part == "scripts" or below[0] in ("__init__", *ASIDE) or rank(part, below[0]) is not None
    )
    assert known, "give this module a place in the order"
    wrong = [name for name in imported(path) if not allowed(part, below[0], name)]
    assert not wrong, f"{path.relative_to(ROOT)} must not import {wrong}"


@pytest.mark.parametrize(
    ("part", "module", "name", "expected"),
    [
        ("rx_fixedpole", "readout", "rx_fixedpole.poles", True),
        ("rx_fixedpole", "readout", "rx_fixedpole.recurrence", False),
        ("rx_fixedpole", "poles", "rx_fixedpole._backend.complex", False),
        ("rx_fixedpole", "receivers", "sims.link", False),
        ("rx_fixedpole", "layers", "tensorflow", False),
        ("rx_fixedpole", "poles", "keras.ops", False),
        ("rx_fixedpole", "_backend", "tensorflow", True),
        ("sims", "link", "rx_fixedpole", True),
        ("sims", "link", "tensorflow", True),
        ("sims", "store", "tensorflow", False),
        ("sims", "link", "sims.sweep", False),
        ("sims", "plots", "sims.store.Row", True),
        ("sims", "plots", "rx_fixedpole.poles", False),
        ("sims", "report", "sims.plots", True),
        ("sims", "report", "sims.receivers", False),
        ("sims", "report", "tensorflow", False),
        ("sims", "receivers", "sims.store", False),
        ("scripts", "ber_sweep", "sims.sweep", True),
        ("scripts", "ber_sweep", "tests.oracles", False),
        ("scripts", "ber_sweep", "scripts._cli.Parser", True),
        ("scripts", "ber_sweep", "scripts._config.ConfigFile", True),
        ("scripts", "ber_sweep", "scripts.reproduce_paper.main", False),
    ],
)
def test_the_rule_itself(part, module, name, expected):
    assert allowed(part, module, name) is expected


def test_importing_the_package_loads_no_framework():
    code = "import sys, rx_fixedpole; rx_fixedpole.poles.ring(3); print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not {"tensorflow", "torch", "keras", "sionna"} & set(result.stdout.split())


@pytest.mark.tensorflow_only
def test_every_public_name_is_there():
    import rx_fixedpole

    for name in rx_fixedpole.__all__:
        assert getattr(rx_fixedpole, name) is not None
    with pytest.raises(AttributeError, match="FixedPoleEqualiser"):
        _ = rx_fixedpole.FixedPoleEqualiser
