"""Rules of the house that keep the project in shape."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml

import headgen
from headgen.doctor import EXTRAS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "headgen"

# Each part may import itself and these:
# media <- faces <- (nn <-) fsrt <- listener <- scheduler <- reenact, listen <- batch <- cli, apps.
ALLOWED = {
    "errors": set(),
    "machine": set(),
    "progress": set(),
    "media": {"errors", "progress"},
    "hub": {"errors", "progress", "media", "fsrt", "synth"},
    "faces": {"errors", "progress", "media"},
    "nn": {"errors"},
    "fsrt": {"errors", "progress", "media", "faces", "nn"},
    "listener": {"errors", "progress", "media", "faces", "nn", "fsrt"},  # fsrt-small draws it
    "scheduler": {"errors", "progress", "media", "nn"},
    "synth": {"errors", "progress", "media", "faces", "nn", "hub"},
    "prepare": {"errors", "progress", "media", "faces"},
    "reenact": {"errors", "progress", "media", "faces", "nn", "fsrt", "hub", "scheduler"},
    "listener_request": {"errors", "media", "nn", "listener", "hub"},
    "stream": {"errors", "progress", "media", "faces", "listener", "hub", "scheduler", "listener_request"},
    "listen": {
        *("errors", "progress", "media", "faces", "listener", "hub", "scheduler"),
        *("listener_request", "stream"),
    },
    "join": {"errors", "progress", "media", "faces", "nn", "fsrt", "listener", "hub", "scheduler"},
    "portrait_editor": {"errors", "media", "faces", "nn", "fsrt", "hub"},
    "batch": {
        *("errors", "progress", "media", "faces", "nn", "hub", "scheduler", "listener"),
        *("listen", "listener_request"),
    },
    "serve": {"errors", "faces", "listener", "listener_request", "stream"},
    "listening": {"errors", "progress", "media", "faces", "listener", "synth"},
    "training": {
        *("errors", "progress", "media", "faces", "nn", "fsrt", "listener", "hub"),
        *("listening", "synth", "evaluation"),
    },
    "evaluation": {
        *("errors", "progress", "media", "faces", "nn", "fsrt", "listener", "hub", "scheduler"),
        *("reenact", "listen", "listener_request", "listening", "stream", "synth", "portrait_editor"),
        *("batch", "machine"),
    },
    "doctor": {"errors", "hub", "machine", "nn"},
}
HEAVY = {"mediapipe", "av", "gradio", "ray", "lightning", "pytorch_lightning"}


def imports(path: Path) -> dict[str, bool]:
    """Modules imported by a file, and whether at its top level."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for node in ast.walk(block)
    }
    found: dict[str, bool] = {}
    top = set(map(id, tree.body))
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [node.module]
            if node.module == "headgen":
                names = [f"headgen.{alias.name}" for alias in node.names]
        for name in names:
            found[name] = found.get(name, False) or id(node) in top
    return found


@pytest.mark.parametrize("part", sorted(ALLOWED))
def test_imports_run_one_way(part):
    place = PACKAGE / part
    files = sorted(place.rglob("*.py")) if place.is_dir() else [PACKAGE / f"{part}.py"]
    for path in files:
        for name in imports(path):
            if name.startswith("headgen."):
                other = name.split(".")[1]
                assert other == part or other in ALLOWED[part], f"{path.relative_to(ROOT)} imports {name}"


def test_nothing_imports_the_apps():
    for path in PACKAGE.rglob("*.py"):
        assert not [name for name in imports(path) if name.split(".")[0] == "headgen_studio"], path


def test_every_part_has_a_rule():
    parts = {path.stem for path in PACKAGE.iterdir() if path.is_dir() or path.suffix == ".py"}
    assert parts - set(ALLOWED) <= {"__init__", "__main__", "__pycache__", "cli", "_weights", "py"}


@pytest.mark.parametrize("part", ["fsrt", "nn"])
def test_model_files_import_nothing_heavy(part):
    for path in (PACKAGE / part).rglob("*.py"):
        heavy = {name for name in imports(path) if name.split(".")[0] in HEAVY}
        assert not heavy, f"{path.relative_to(ROOT)} imports {heavy}"


def test_import_of_the_package_is_light():
    code = (
        "import sys, headgen; print(sorted({'torch', 'mediapipe', 'av', 'cv2', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_verbs_are_functions_even_after_their_module_is_imported():
    code = (
        "import headgen.doctor; import headgen, types\n"
        "assert isinstance(headgen.doctor, types.FunctionType), headgen.doctor\n"
        "from headgen.doctor import Report; print('good')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "good"
    for name in headgen.__all__:
        assert getattr(headgen, name) is not None


def test_version_is_the_same_everywhere():
    assert metadata.version("headgen") == headgen.__version__
    assert f"## {headgen.__version__}" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("configs/**/*.yaml")), ids=lambda p: str(p.relative_to(ROOT))
)
def test_every_config_is_yaml(path):
    assert isinstance(yaml.safe_load(path.read_text(encoding="utf-8")), dict)


def test_no_catch_all_modules():
    bad = {"utils.py", "helpers.py", "common.py", "misc.py"}
    assert not [path for path in PACKAGE.rglob("*.py") if path.name in bad]


def extras_of_errors(path: Path) -> set[str]:
    """Extras that a file names in a `MissingExtraError`; one that is not spelt out is the doctor's."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "MissingExtraError":
            named = [keyword.value for keyword in node.keywords if keyword.arg == "extra"]
            extra = named[0] if named else node.args[1]
            found |= {extra.value} if isinstance(extra, ast.Constant) else set(EXTRAS)
    return found


def test_every_extra_that_is_asked_for_exists():
    offered = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    asked = {path: extras_of_errors(path) for path in PACKAGE.rglob("*.py")}
    assert {"train", "perceptual", "synth"} <= set().union(*asked.values())
    for path, extras in asked.items():
        assert extras <= offered, f"{path.relative_to(ROOT)} asks for {extras - offered}"
    assert set(EXTRAS) == offered - {"dev"}, "the doctor reports every extra"


def test_committed_constraints_cover_the_dependencies():
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    pinned = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, version = line.split("==")
            pinned[canonicalize_name(name)] = version
    for text in metadata.requires("headgen"):
        requirement = Requirement(text)
        name = canonicalize_name(requirement.name)
        if name != "headgen":
            assert name in pinned, f"{name} is not pinned"
            assert requirement.specifier.contains(pinned[name]), f"{text} excludes the pinned {pinned[name]}"
