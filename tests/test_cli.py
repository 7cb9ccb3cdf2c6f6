"""The command line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

import headgen
from headgen import cli
from headgen.doctor import EXTRAS
from headgen.errors import InputError
from headgen.progress import Cancelled, ProgressEvent


@dataclass
class Result:
    output: Path
    seconds: float


CALLS = []


def example(
    source: list[Path],
    output: Path,
    *,
    mode: Literal["calm", "wild"] = "calm",
    strength: float = 1.0,
    kp_size: int | None = None,
    compare: bool = False,
    tags: list[str] | None = None,
    progress=None,
) -> Result:
    """Stands for any verb.

    Args:
        source: pictures.
        output: file to write.
        mode: how.
        strength: how much.
        kp_size: how large.
        compare: side by side.
        tags: words, if any.
        progress: called after every frame.
    """
    CALLS.append({"source": source, "output": output, "mode": mode, "strength": strength, "compare": compare})
    CALLS[-1] |= {"kp_size": kp_size, "tags": tags}
    for index in range(3):
        progress(ProgressEvent("render", index + 1, 3))
    return Result(output, 1.234)


def bad() -> None:
    """Fails."""
    raise InputError("a.jpg: is wrong; mend it")


def stops() -> None:
    """Is stopped."""
    raise KeyboardInterrupt


def cancels() -> None:
    """Is stopped by its callback."""
    raise Cancelled


def raw(arguments):
    """Parses by itself."""
    CALLS.append(arguments)


@pytest.fixture(autouse=True)
def commands(monkeypatch):
    """A table of our own; the functions are found through this module."""
    CALLS.clear()
    monkeypatch.setitem(sys.modules, "cli_examples", sys.modules[__name__])
    for name in ("example", "bad", "stops", "cancels"):
        monkeypatch.setitem(cli.COMMANDS, name, cli.Command(f"cli_examples:{name}", "for tests"))
    monkeypatch.setitem(cli.COMMANDS, "raw", cli.Command("cli_examples:raw", "", takes_arguments=True))
    monkeypatch.setitem(cli.COMMANDS, "lost", cli.Command("lightning_that_is_not_there:x", ""))


def test_options_become_arguments(capsys):
    words = "example --source a.jpg --output o.mp4 --mode wild --strength 2 --kp-size 3 --compare"
    assert cli.main(words.split()) == 0
    wanted = {"source": [Path("a.jpg")], "output": Path("o.mp4"), "mode": "wild", "strength": 2.0}
    assert CALLS[0] == wanted | {"compare": True, "kp_size": 3, "tags": None}
    shown = capsys.readouterr()
    assert "o.mp4" in shown.out and "1.23" in shown.out
    assert "render: 3 frames" in shown.err


@pytest.mark.parametrize(
    "words",
    [
        ["--source", "a.jpg", "--source", "b.jpg"],
        ["--source", "a.jpg", "b.jpg"],
        ["--source=a.jpg", "--source=b.jpg"],
    ],
)
def test_a_list_option_may_be_repeated(words):
    assert cli.main(["example", *words, "--output", "o.mp4"]) == 0
    assert CALLS[0]["source"] == [Path("a.jpg"), Path("b.jpg")]


@pytest.mark.parametrize(
    "words", [["--tags", "x=1"], ["--tags", "x=1", "y=2"], ["--tags=x=1", "--tags", "y=2"]]
)
def test_a_list_option_may_be_left_out_or_have_one_value(words):
    assert cli.main(["example", "--source", "a.jpg", "--output", "o.mp4", *words]) == 0
    assert CALLS[0]["tags"] == ["x=1", "y=2"][: 1 + ("y=2" in words)]


@pytest.mark.parametrize(
    "name", ["123.jpg", "my holiday: me.jpg", "[1].jpg", "null", "1e5", "ä ö.png", "{x}.jpg"]
)
def test_file_names_are_taken_literally(name):
    assert cli.main(["example", "--source", name, "--output", name]) == 0
    assert CALLS[0]["source"] == [Path(name)] and CALLS[0]["output"] == Path(name)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("example --source a --output o --strength much", "--strength: Expected a float"),
        ("example --source a --output o --mode loud", "calm"),
        ("example --output o", "missing --source"),
        ("example --source a --output o --colour red", "--colour"),
        ("nonsense", "unknown command 'nonsense'"),
        ("weights nonsense", "weights list"),
        ("weights fetch", "missing NAME"),
        ("bad", "headgen: a.jpg: is wrong; mend it"),
    ],
)
def test_mistakes_are_one_line_and_exit_with_2(capsys, words, message):
    assert cli.main(words.split()) == 2
    shown = capsys.readouterr()
    assert message in shown.err and shown.err.count("\n") == 1 and not shown.out
    assert CALLS == []


@pytest.mark.parametrize("name", ["stops", "cancels"])
def test_stopping_says_so(capsys, name):
    assert cli.main([name]) == 130
    assert "stopped; no partial file left" in capsys.readouterr().err


def test_a_missing_extra_says_how_to_get_it(capsys, monkeypatch):
    monkeypatch.setitem(EXTRAS, "train", ("training", ("lightning_that_is_not_there",)))
    assert cli.main(["lost"]) == 2
    assert "pip install 'headgen[train]'" in capsys.readouterr().err


def test_commands_may_parse_for_themselves():
    assert cli.main(["raw", "--config", "a.yaml", "--x.y=1"]) == 0
    assert CALLS == [["--config", "a.yaml", "--x.y=1"]]


def test_help_names_every_command_and_option(capsys):
    assert cli.main(["--help"]) == 0
    overview = capsys.readouterr().out
    for name in cli.COMMANDS:
        assert name in overview
    assert cli.main(["example", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Stands for any verb." in shown and "--kp-size" in shown and "how large." in shown
    assert "--source SOURCE" in shown and "source+" not in shown and "progress" not in shown
    assert cli.main(["weights", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "weights convert" in shown and "reenact" not in shown


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert headgen.__version__ in capsys.readouterr().out


def test_as_a_module_and_without_heavy_imports():
    code = (
        "import sys; from headgen.cli import main; main(['--help'])\n"
        "print({'torch', 'mediapipe', 'av'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("set()\n")
    done = subprocess.run(
        [sys.executable, "-m", "headgen", "--version"], capture_output=True, text=True, check=True
    )
    assert headgen.__version__ in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_a_running_command_leaves_nothing(tmp_path, number):
    """A real process is stopped while it writes a video."""
    script = tmp_path / "slow.py"
    script.write_text(
        textwrap.dedent(
            """
            import sys, time
            import numpy as np
            from pathlib import Path
            from headgen import cli
            from headgen.media import VideoWriter

            def slow(output: Path) -> None:
                "Writes for a minute."
                with VideoWriter(output, 25) as writer:
                    for index in range(1200):
                        writer.write(np.full((64, 64, 3), index % 255, np.uint8))
                        time.sleep(0.05)

            cli.COMMANDS["slow"] = cli.Command("__main__:slow", "")
            sys.exit(cli.main(["slow", "--output", sys.argv[1]]))
            """
        )
    )
    folder = tmp_path / "out"
    folder.mkdir()
    process = subprocess.Popen(
        [sys.executable, script, folder / "o.mp4"],
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background jobs ignore Ctrl-C, and their children with them: start as in the foreground.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while not os.listdir(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert os.listdir(folder) == ["o.mp4.part"]
    time.sleep(0.3)
    process.send_signal(number)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 130
    assert errors == "headgen: stopped; no partial file left\n"
    assert os.listdir(folder) == []


@pytest.mark.parametrize("name", list(cli.COMMANDS))
def test_every_command_of_the_table_can_be_imported(name):
    import importlib

    module, _, attribute = cli.COMMANDS[name].target.partition(":")
    function = getattr(importlib.import_module(module), attribute)
    assert function.__doc__, "help comes from the docstring"
