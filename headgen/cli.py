"""The command line: one table from subcommand to function.

Options, defaults and help come from the function's signature and docstring. A function is imported when its
command is used, so that ``headgen --help`` is quick and nothing is needed that the command does not need.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import json
import logging
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import TracebackType
from typing import Any, get_args, get_origin, get_type_hints

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

import headgen
from headgen.errors import HeadgenError, MissingExtraError
from headgen.progress import Cancelled, ProgressEvent

__all__ = ["COMMANDS", "Command", "main"]


@dataclasses.dataclass(frozen=True)
class Command:
    """One subcommand.

    Args:
        target: function to call, "module:name".
        help: what it does, one line.
        positional: name of a parameter that is given without its option ("weights fetch NAME"); a list takes
            one word or more.
        positional_help: what is given there.
        takes_arguments: the function parses the command line itself; it gets the list of arguments.
        takes_config: options may be read from a YAML file as well, given with ``--config``.
    """

    target: str
    help: str
    positional: str = ""
    positional_help: str = "name of the model"
    takes_arguments: bool = False
    takes_config: bool = False


COMMANDS: dict[str, Command] = {
    "reenact": Command("headgen.reenact:reenact", "make a portrait move like a driving video"),
    "save-motion": Command(
        "headgen.faces.driving:save_motion", "save a driving video's motion, to move portraits with it again"
    ),
    "listen": Command("headgen.listen:listen", "make a portrait listen to a speaker"),
    "edit-portrait": Command(
        "headgen.portrait_editor:edit_portrait", "turn a portrait's head and eyes, change its expression"
    ),
    "join": Command(
        "headgen.join:join", "join head videos of one person without a seam", positional="videos"
    ),
    "serve": Command("headgen.serve:serve", "a page on which a portrait listens to whoever speaks"),
    "batch": Command(
        "headgen.batch.command:batch",
        "run the jobs of a table, and go on where it was stopped",
        positional="manifest",
        positional_help="table of jobs",
    ),
    "batch status": Command(
        "headgen.batch.command:status",
        "how far a batch is",
        positional="output",
        positional_help="folder of the batch",
    ),
    "manifest": Command("headgen.batch.make_manifest:manifest", "make a table of jobs from folders of files"),
    "prepare": Command("headgen.prepare:prepare", "make a training set from raw face videos"),
    "train fsrt": Command("headgen.training.cli:train", "train FSRT or fsrt-small", takes_arguments=True),
    "train listener-gen": Command(
        "headgen.training.cli:train", "train the listener: DiTaiListener-Gen", takes_arguments=True
    ),
    "train listener-edit": Command(
        "headgen.training.cli:train", "train what rewrites joins: DiTaiListener-Edit", takes_arguments=True
    ),
    "train listener-text": Command(
        "headgen.training.cli:train", "train what reads --text for the listener", takes_arguments=True
    ),
    "evaluate reenact": Command(
        "headgen.evaluation.evaluate_reenact:evaluate_reenact",
        "score reenactments by any program, beside baselines",
        takes_config=True,
    ),
    "evaluate listen": Command(
        "headgen.evaluation.evaluate_listen:evaluate_listen",
        "score listeners by any program, beside baselines",
        takes_config=True,
    ),
    "evaluate quality": Command(
        "headgen.evaluation.quality_page:quality", "write a page on how good the embedded models are"
    ),
    "bench all": Command("headgen.evaluation.bench_all:bench", "speed, memory and start-up of everything"),
    "bench compare": Command(
        "headgen.evaluation.bench_all:compare", "what two files of `bench all` differ in", positional="files"
    ),
    "bench fsrt": Command(
        "headgen.evaluation.bench_fsrt:bench", "measure the full-size FSRT on this machine"
    ),
    "bench batch": Command(
        "headgen.evaluation.bench_batch:bench", "kill a batch, see that nothing is lost, and measure it"
    ),
    "bench cluster": Command(
        "headgen.evaluation.bench_cluster:bench", "lose half of a Ray cluster, and see that nothing is lost"
    ),
    "bench reenact": Command(
        "headgen.evaluation.bench_reenact:bench", "measure reenacting against face tracking alone"
    ),
    "bench editor": Command(
        "headgen.evaluation.bench_editor:bench", "measure how soon a slider of the editor shows"
    ),
    "bench quality": Command(
        "headgen.evaluation.bench_quality:bench", "measure motion, likeness and jitter on real videos"
    ),
    "bench listener": Command(
        "headgen.evaluation.bench_listener:bench", "measure a listener on held-out conversations"
    ),
    "bench steps": Command(
        "headgen.evaluation.bench_steps:bench", "measure a listener made in fewer denoising steps"
    ),
    "bench edit": Command(
        "headgen.evaluation.bench_edit:bench", "measure how joins of segments are rewritten"
    ),
    "bench studio": Command(
        "headgen_studio.bench_load:bench", "many clients at once, and a storm of cancelled jobs"
    ),
    "bench text": Command(
        "headgen.evaluation.bench_text:bench", "measure whether listeners do what a text asks for"
    ),
    "bench wan": Command(
        "headgen.evaluation.wan_table:bench", "compute what a listener on the video model Wan needs"
    ),
    "bench stream": Command(
        "headgen.evaluation.bench_stream:bench", "measure how live a listener is on this machine"
    ),
    "bench spread": Command(
        "headgen.evaluation.bench_spread:bench", "measure one long listener on several workers"
    ),
    "bench render": Command("headgen.synth.render.bench:run", "measure rendering heads on one core"),
    "bench synth": Command(
        "headgen.evaluation.bench_synth:bench", "how well the face tracker knows synthetic heads"
    ),
    "synth heads": Command("headgen.synth.dataset.make:heads", "still heads with exact ground truth"),
    "synth videos": Command("headgen.synth.dataset.make:videos", "videos of one person each"),
    "synth conversations": Command(
        "headgen.synth.dataset.make:conversations", "speaker and listener, events and captions"
    ),
    "synth listening": Command(
        "headgen.listening:make", "conversations without pictures, to train a listener on"
    ),
    "synth textures": Command(
        "headgen.synth.dataset.make:textures", "library of skin for the ict heads, from portraits"
    ),
    "synth motion-report": Command(
        "headgen.synth.motion.report:command", "generated motion beside measured and published figures"
    ),
    "synth portraits": Command("headgen.synth.portraits:make", "training set of portraits animated in 3D"),
    "weights list": Command("headgen.hub:list_models", "the models, their licence and figures"),
    "weights fetch": Command("headgen.hub:fetch", "download a model", positional="name"),
    "weights verify": Command(
        "headgen.hub:verify", "check the files of all models or one", positional="name"
    ),
    "weights convert": Command("headgen.hub:convert", "turn official FSRT checkpoints into safetensors"),
    "studio": Command("headgen_studio.app:studio", "open the studio, a page in the browser"),
    "doctor": Command("headgen.doctor:doctor", "what is installed, what is missing and how to get it"),
}

USAGE_ERROR = 2
"""Exit code for anything that the user can mend."""
STOPPED = 130
"""Exit code after Ctrl-C."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        arguments: command line without the program's name; None: the process's own.

    Returns:
        Exit code: 0; 2 for an error that the user can mend; 130 when stopped.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    errors = Console(stderr=True, soft_wrap=True)
    quiet_libraries()
    try:
        with _terminate_as_interrupt(), _notices(errors):
            return _dispatch(words, errors)
    except HeadgenError as error:
        _say(errors, f"headgen: {error}")
        return USAGE_ERROR
    except (KeyboardInterrupt, Cancelled):
        _say(errors, "headgen: stopped; no partial file left")
        return STOPPED


def quiet_libraries() -> None:
    """Keeps start-up chatter of native libraries off the terminal; a value that the user has set stays."""
    for name, value in {
        "GLOG_minloglevel": "2",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "ABSL_MIN_LOG_LEVEL": "2",
    }.items():
        os.environ.setdefault(name, value)


def _dispatch(words: list[str], errors: Console) -> int:
    if words[:1] == ["--version"]:
        _say(Console(), f"headgen {headgen.__version__}")
        return 0
    if not words or words[0] in ("-h", "--help", "help"):
        _say(Console(), _overview())
        return 0 if words else USAGE_ERROR
    name, command, rest = _find(words)
    if command is None:
        group = [key for key in COMMANDS if key.startswith(words[0] + " ")]
        if group and (len(words) == 1 or words[1] in ("-h", "--help")):
            _say(Console(), _overview(group))
            return 0 if len(words) > 1 else USAGE_ERROR
        wrong = " ".join(words[: 2 if group else 1])
        known = ", ".join(group or dict.fromkeys(key.split()[0] for key in COMMANDS))
        _say(errors, f"headgen: unknown command {wrong!r}; known are {known}")
        return USAGE_ERROR
    module, _, attribute = command.target.partition(":")
    try:
        function = getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise _missing_extra(error, name) from error
    if command.takes_arguments:
        result = function(rest)
    else:
        options = _parse(name, command, function, rest)
        if isinstance(options, int):
            return options
        if "progress" in inspect.signature(function).parameters:
            with ProgressBars(errors) as bars:
                result = function(**options, progress=bars)
        else:
            result = function(**options)
    if result is not None:
        _say(Console(soft_wrap=True), _as_text(result))
    return 0


def _missing_extra(error: ModuleNotFoundError, command: str) -> Exception:
    """The extra that brings a module, or the error itself if none does."""
    from headgen.doctor import EXTRAS

    root = (error.name or "").split(".")[0]
    for extra, (_, modules) in EXTRAS.items():
        if root in modules:
            return MissingExtraError(root, extra, f"headgen {command}")
    return error


def _find(words: list[str]) -> tuple[str, Command | None, list[str]]:
    for length in (2, 1):
        name = " ".join(words[:length])
        if len(words) >= length and name in COMMANDS:
            return name, COMMANDS[name], words[length:]
    return "", None, words


def _overview(names: Sequence[str] | None = None) -> str:
    shown = COMMANDS if names is None else {name: COMMANDS[name] for name in names}
    width = max(map(len, shown)) + 2
    lines = [
        "headgen generates talking and listening head videos.",
        "",
        "usage: headgen COMMAND [options]        headgen COMMAND --help lists the options",
        "",
        *(f"  {name:{width}}{command.help}" for name, command in shown.items()),
    ]
    if names is None:
        lines += ["", "  headgen reenact --source portrait.jpg --driving driver.mp4 --output out.mp4"]
        lines += ["", "  headgen --version"]
    return "\n".join(lines)


def _parse(
    name: str, command: Command, function: Callable[..., Any], words: list[str]
) -> dict[str, Any] | int:
    """Turns options into keyword arguments, or into an exit code after help or a mistake."""
    from jsonargparse import ArgumentParser, DefaultHelpFormatter

    class HelpFormatter(DefaultHelpFormatter):
        def _expand_help(self, action: argparse.Action) -> str:
            return _plain_types(super()._expand_help(action))

    parameters = inspect.signature(function).parameters
    hints = get_type_hints(function)
    parser = ArgumentParser(prog=f"headgen {name}", description=_summary(function), exit_on_error=False)
    parser.formatter_class = HelpFormatter
    skipped: set[str | int] = {key for key in parameters if key in ("progress", command.positional)}
    if command.positional:
        optional = parameters[command.positional].default is not inspect.Parameter.empty
        several = get_origin(hints[command.positional]) is list
        parser.add_argument(
            command.positional,
            nargs="+" if several else "?" if optional else None,
            type=str,
            help="files, in order" if several else command.positional_help,
        )
    if command.takes_config:
        parser.add_argument("--config", action="config", help="YAML file of options; others overrule it.")
    parser.add_function_arguments(function, skip=skipped)
    _tidy_help(parser, command)
    lists = {
        k for k, hint in hints.items() if {get_origin(h) for h in (hint, *get_args(hint))} & {list, tuple}
    }
    flags = {key for key, hint in hints.items() if hint is bool}
    try:
        namespace = parser.parse_args(_normalise(words, lists, flags))
        options: dict[str, Any] = vars(parser.instantiate(namespace))
    except SystemExit as stop:  # --help
        return int(stop.code or 0)
    except argparse.ArgumentError as error:
        raise HeadgenError(
            f"{_one_line(error, command.positional)}; headgen {name} --help lists the options"
        ) from error
    return {key: value for key, value in options.items() if key in parameters}


def _normalise(words: list[str], lists: set[str], flags: set[str]) -> list[str]:
    """Lets options be written as people write them.

    ``--kp-detector`` is ``--kp_detector``; an option that takes a list may be repeated and may be followed by
    several values; a switch needs no value.
    """
    result: list[str] = []
    current = ""
    for position, word in enumerate(words):
        following = words[position + 1] if position + 1 < len(words) else "--"
        if word.startswith("--") and len(word) > 2:
            option, equals, value = word[2:].partition("=")
            option = option.replace("-", "_")
            current = option if option in lists and not equals else ""
            if option in lists:
                if equals:
                    result.append(f"--{option}+={value}")
            elif option in flags and not equals and following.lower() not in ("true", "false", "yes", "no"):
                result.append(f"--{option}=true")
            else:
                result.append(f"--{option}{equals}{value}")
        elif current:
            result.append(f"--{current}+={word}")
        else:
            result.append(word)
    return result


def _tidy_help(parser: Any, command: Command) -> None:
    """Shows options as people write them; this touches what is displayed, not what is understood."""
    for group in parser._action_groups:
        if group.title == parser.description.rstrip("."):
            group.title = "arguments"
    for action in parser._actions:
        if any(option.endswith("+") for option in action.option_strings):
            action.metavar = action.dest.upper()
            action.help = f"{action.help} May be repeated."
        shown = [option.replace("_", "-") for option in action.option_strings if not option.endswith("+")]
        action.option_strings = shown
        if action.dest == command.positional:
            action.metavar = action.dest.upper()


def _plain_types(text: str) -> str:
    text = re.sub(r"type: Literal\[[^]]*\], ", "", text)  # the choices stand beside the option already
    return re.sub(r"<class '([\w.]+)'>", r"\1", text)


def _summary(function: Callable[..., Any]) -> str:
    text = inspect.getdoc(function) or ""
    return text.split("\n\n")[0].replace("\n", " ")


def _one_line(error: argparse.ArgumentError, positional: str) -> str:
    """The parser's message in one line, with options as the user writes them."""
    text = re.sub(r"\s+", " ", str(error)).strip()
    text = _plain_types(text)
    text = re.sub(r'^Parser key "(\w+)": ', lambda match: f"--{match[1]}: ", text)
    missing = re.match(r"the following arguments are required: (.*)", text)
    if missing:
        names = [name.upper() if name == positional else f"--{name}" for name in missing[1].split(", ")]
        text = f"missing {', '.join(names)}"
    return text.rstrip(".")


def _as_text(result: Any) -> str:
    if dataclasses.is_dataclass(result) and type(result).__str__ is object.__str__:
        rows = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
        return "\n".join(f"{name:10} {_value(value)}" for name, value in rows.items())
    if isinstance(result, dict | list):
        return json.dumps(result, indent=2, default=str)
    return str(result)


def _value(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False)


class ProgressBars:
    """Shows `ProgressEvent`s as bars with frames per second and time left; off a terminal, as plain lines."""

    def __init__(self, console: Console) -> None:
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[count]}"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(compact=True),
            console=console,
            disable=not console.is_terminal,
        )
        self._console = console
        self._stage = ""
        self._task: TaskID | None = None
        self._begun = 0.0
        self._last: ProgressEvent | None = None

    def __enter__(self) -> ProgressBars:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._finish_stage()
        self._bars.stop()

    def __call__(self, event: ProgressEvent) -> None:
        """Takes one event."""
        if event.stage != self._stage:
            self._finish_stage()
            self._stage, self._begun = event.stage, time.perf_counter()
            self._task = self._bars.add_task(event.stage, total=event.total, count="", rate="")
        self._last = event
        assert self._task is not None
        total = max(event.total, event.done) if event.total is not None else None
        count = f"{event.done}/{total}" if total is not None else f"{event.done}"
        self._bars.update(
            self._task, completed=event.done, total=total, count=f"{count} {event.unit}", rate=self._rate()
        )

    def _rate(self) -> str:
        assert self._last is not None
        seconds = time.perf_counter() - self._begun
        return f"{self._last.done / seconds:.1f} {self._last.unit}/s" if seconds > 0 else ""

    def _finish_stage(self) -> None:
        if self._last is None or self._task is None:
            return
        done = self._last.done
        self._bars.update(self._task, completed=done, total=done, count=f"{done} {self._last.unit}")
        if self._bars.disable:
            _say(self._console, f"{self._stage}: {done} {self._last.unit}, {self._rate()}")
        self._last = None


@contextmanager
def _notices(console: Console) -> Iterator[None]:
    """Shows what the library logs (several faces, fallbacks) as single lines."""
    logger = logging.getLogger("headgen")
    handler = RichHandler(console=console, show_time=False, show_path=False, markup=False, highlighter=None)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


@contextmanager
def _terminate_as_interrupt() -> Iterator[None]:
    """A polite kill cleans up as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
