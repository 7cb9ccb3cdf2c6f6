"""A manifest checked as a whole: jobs, and every problem of every row, before anything runs."""

from __future__ import annotations

import difflib
import functools
import hashlib
import inspect
import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from headgen import hub
from headgen.batch.job import KINDS, NOT_FOR_BATCHES, Job, Kind, model_names, verb
from headgen.batch.manifest import Row, read_rows
from headgen.batch.probe import ROLES, Probed, Role, probe_all
from headgen.batch.storage import absolute
from headgen.errors import HeadgenError, InputError
from headgen.listener.text import load_text_encoder, read_ranges, read_text
from headgen.listener.track import FPS
from headgen.progress import ProgressCallback, ProgressEvent

__all__ = ["BadRow", "Plan", "Problem", "check_manifest", "option_problem"]

_SHOWN_ROWS, _SHOWN_PROBLEMS = 6, 200
_TEXTS = 1000  # different texts that are read on trial; of more of them only the form is checked
_LONGEST_NAME = 180  # bytes of one part: file systems take 255, with endings and a part file's name
_FORBIDDEN = re.compile(r'[\\:*?"<>|\x00-\x1f\x7f]')


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with a row."""

    row: int
    column: str
    """Empty if it concerns the row as a whole."""
    text: str
    """What is wrong and what to do."""

    def __str__(self) -> str:
        return f"{self.column}: {self.text}" if self.column else self.text


@dataclass(frozen=True)
class BadRow:
    """A row that is no job."""

    row: int
    kind: str
    name: str
    """Its name, if it has one that no other row has; else ``row N``."""
    problems: tuple[Problem, ...]

    @classmethod
    def of(cls, job: Job, text: str) -> BadRow:
        """A job that turns out to be none."""
        return cls(job.row, job.kind, job.name, (Problem(job.row, "name", text),))

    @property
    def error(self) -> str:
        """All that is wrong, in one line."""
        return "; ".join(map(str, self.problems))

    @property
    def lacks_inputs(self) -> bool:
        """Whether nothing is wrong with it but its inputs."""
        return all(problem.column in ROLES for problem in self.problems)


@dataclass(frozen=True)
class Plan:
    """What a manifest asks for.

    Attributes:
        manifest: its path or address.
        jobs: rows that can run, in order.
        bad: rows that cannot, in order.
        probed: what is known of each input.
    """

    manifest: str
    jobs: tuple[Job, ...]
    bad: tuple[BadRow, ...]
    probed: Mapping[str, Probed] = field(default_factory=dict, repr=False)

    @property
    def kinds(self) -> Counter[str]:
        """How many jobs there are of each kind."""
        return Counter(job.kind for job in self.jobs)

    @property
    def frames(self) -> int:
        """Of all videos, as far as the inputs say."""
        return sum(job.frames or 0 for job in self.jobs)

    @property
    def seconds(self) -> float:
        """Total duration of all videos, as far as the inputs say."""
        total = 0.0
        for job in self.jobs:
            timed = "driving" if job.kind == "reenact" else "speaker"
            total += (self.probed[job.inputs[timed][0]].seconds or 0.0) * job.takes
        return total

    def report(self) -> str:
        """Every problem with its rows; the same problem of many rows is told once."""
        rows: dict[tuple[str, str], list[int]] = defaultdict(list)
        for bad in self.bad:
            for problem in bad.problems:
                rows[problem.column, problem.text].append(problem.row)
        lines = [
            f"  {_rows(found)}{f', column {column}' if column else ''}: {text}"
            for (column, text), found in rows.items()
        ]
        if len(lines) > _SHOWN_PROBLEMS:
            more = len(lines) - _SHOWN_PROBLEMS
            lines = [*lines[:_SHOWN_PROBLEMS], f"  and {more} more; the results table has them all"]
        return "\n".join(lines)


def _rows(rows: list[int]) -> str:
    if len(rows) == 1:
        return f"row {rows[0]}"
    shown = ", ".join(map(str, rows[:_SHOWN_ROWS]))
    more = len(rows) - _SHOWN_ROWS
    return f"rows {shown} and {more} more" if more > 0 else f"rows {shown}"


@dataclass
class _Draft:
    """A row on its way to a job."""

    row: int
    kind: str
    name: str
    inputs: dict[str, tuple[str, ...]]
    options: Mapping[str, Any]
    problems: list[Problem]

    def wrong(self, column: str, text: str) -> None:
        self.problems.append(Problem(self.row, column, text))


def check_manifest(path: str | Path, *, progress: ProgressCallback | None = None) -> Plan:
    """Reads a manifest and checks every row; inputs are looked at once each, by their heads.

    Args:
        path: manifest (`headgen.batch.manifest`); its paths are relative to it.
        progress: called as inputs are looked at.

    Raises:
        InputError: the manifest cannot be read, holds no row, or has columns that no command knows.
        MissingExtraError: Parquet without pyarrow.
    """
    manifest = absolute(str(path), str(Path.cwd()))
    reader = _Reader(manifest)
    drafts = []
    for row in read_rows(manifest):
        drafts.append(reader.draft(row))
    if not drafts:
        raise InputError(f"{manifest}: holds no row; headgen manifest makes one from folders")
    _check_columns(manifest, drafts, reader.seen)
    _check_names(drafts)
    probed = _probe(drafts, progress)
    for draft in drafts:
        _check_inputs(draft, probed)
    jobs = tuple(reader.job(draft, probed) for draft in drafts if not draft.problems)
    names = Counter(draft.name.casefold() for draft in drafts)
    bad = tuple(
        BadRow(
            draft.row,
            draft.kind,
            draft.name if draft.name and names[draft.name.casefold()] == 1 else f"row {draft.row}",
            tuple(draft.problems),
        )
        for draft in drafts
        if draft.problems
    )
    return Plan(manifest, jobs, bad, probed)


class _Reader:
    """Turns rows into drafts and drafts into jobs. What rows have in common is worked out once."""

    def __init__(self, manifest: str) -> None:
        self.folder = manifest.rpartition("/")[0] or "/"
        self.seen: dict[str, int] = {}
        self._values: dict[tuple[str, str, Any], tuple[Any, str]] = {}
        self._options: dict[str, tuple[Mapping[str, Any], list[tuple[str, str]]]] = {}
        self._paths: dict[str, str] = {}
        self._texts = 0
        # Known for this manifest only: by the next one, the weights may be others.
        self._text_encoder, self._weights = functools.cache(_text_encoder), functools.cache(_weights)

    def draft(self, row: Row) -> _Draft:
        """Reads one row."""
        number, values = row
        for column in values:
            self.seen.setdefault(column, number)
        kind = values.get("kind", "")
        draft = _Draft(number, str(kind), "", {}, {}, [])
        if kind not in KINDS:
            said = f"{kind!r} is unknown" if kind else "is missing"
            draft.wrong("kind", f"{said}; choose from {', '.join(KINDS)}")
            return draft
        command = verb(str(kind))
        for role in command.inputs:
            draft.inputs[role] = self._files(draft, role, values.get(role), role in command.several)
        given = {k: v for k, v in values.items() if k not in ("kind", "name", *command.inputs)}
        draft.options, problems = self.options(str(kind), given)
        for column, text in problems:
            draft.wrong(column, text)
        name = values.get("name")
        if name is None:
            draft.name = self._made_name(draft, values)
        else:
            problem = _name_problem(name)
            if problem:
                draft.wrong("name", problem)
            else:
                draft.name = str(name)
        return draft

    def _files(self, draft: _Draft, role: str, value: Any, several: bool) -> tuple[str, ...]:
        if value is None:
            draft.wrong(role, f"is missing; {draft.kind} needs {' and '.join(verb(draft.kind).inputs)}")
            return ()
        parts = value if isinstance(value, list) else str(value).split(";") if several else [value]
        parts = [str(part).strip() for part in parts]
        parts = [part for part in parts if part]
        if len(parts) != 1 and not several:
            draft.wrong(role, f"takes one file, not {len(parts)}")
            return ()
        if role == "speaker" and parts == ["camera"]:
            draft.wrong(role, "a batch listens to files; camera goes with headgen listen --stream")
            return ()
        return tuple(self._path(part) for part in parts)

    def _path(self, path: str) -> str:
        if path not in self._paths:
            self._paths[path] = absolute(path, self.folder)
        return self._paths[path]

    def _made_name(self, draft: _Draft, values: Mapping[str, Any]) -> str:
        """A name that stays the same when rows come, go or move."""
        stems = [Path(paths[0]).stem for paths in draft.inputs.values() if paths]
        text = json.dumps(values, sort_keys=True, default=str)
        stem = _FORBIDDEN.sub("_", "-".join(stems)).strip(". ") or draft.kind
        return f"{stem[:60]}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    def options(self, kind: str, given: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[tuple[str, str]]]:
        """Options of a row as keyword arguments, and (column, problem) of those that cannot be."""
        command = verb(kind)
        options, problems = {}, []
        for column, value in given.items():
            if column in NOT_FOR_BATCHES:
                problems.append((column, f"cannot be given in a manifest: {NOT_FOR_BATCHES[column]}"))
            elif column not in command.types:
                problems.append((column, _unknown(column, kind, command.types)))
            else:
                options[column], problem = self._value(kind, column, value)
                if problem:
                    problems.append((column, problem))
        if "seed" in options:  # the one that differs from row to row; nothing else depends on it
            rest = {k: v for k, v in options.items() if k != "seed"}
            return {**self._together(kind, rest, problems), "seed": options["seed"]}, problems
        return self._together(kind, options, problems), problems

    def _value(self, kind: str, column: str, value: Any) -> tuple[Any, str]:
        key = (kind, column, (type(value), value) if isinstance(value, str | int | float) else repr(value))
        if key not in self._values:
            try:
                converted, problem = _converted(value, verb(kind).types[column]), ""
            except ValueError as error:
                converted, problem = None, str(error)
            names_model = column in ("model", "text_model") and not problem
            if names_model and "/" in converted and converted not in hub.manifest():
                converted = absolute(converted, self.folder)
            if column == "seed":
                return converted, problem  # there is one for each row: not worth keeping
            self._values[key] = converted, problem
        return self._values[key]

    def _together(
        self, kind: str, options: dict[str, Any], problems: list[tuple[str, str]]
    ) -> Mapping[str, Any]:
        """Checks what one value alone does not tell: ranges, models, texts. Adds to `problems`."""
        key = json.dumps([kind, options], sort_keys=True, default=str)
        if key not in self._options:
            if problems:  # one thing after the other
                return options
            found: list[tuple[str, str]] = []
            complete = {**verb(kind).defaults, **options}
            check = verb(kind).check
            try:
                check(**{name: complete[name] for name in inspect.signature(check).parameters})
            except InputError as error:
                found.append(_placed(str(error), complete))
            for column, name in model_names(kind, complete):
                problem = _model_problem(kind, column, name)
                if problem:
                    found.append((column, problem))
            if not found and complete.get("text") is not None:
                problem = self._text_problem(complete)
                if problem:
                    found.append(("text", problem))
            self._options[key] = options, found
        known, found = self._options[key]
        problems.extend(found)
        return known

    def _text_problem(self, options: Mapping[str, Any]) -> str:
        self._texts += 1
        try:
            if self._texts > _TEXTS:
                read_ranges(options["text"])
            else:
                read_text(options["text"], self._text_encoder(options["text_model"]))
        except HeadgenError as error:
            return str(error)
        return ""

    def job(self, draft: _Draft, probed: Mapping[str, Probed]) -> Job:
        """The job of a row without problems."""
        kind: Kind = "reenact" if draft.kind == "reenact" else "listen"
        frames = None
        if kind == "reenact":
            frames = probed[draft.inputs["driving"][0]].frames
        else:
            seconds = probed[draft.inputs["speaker"][0]].seconds
            if seconds is not None:
                frames = round(seconds * FPS) * int(draft.options.get("takes", 1))
        complete = {**verb(kind).defaults, **draft.options}
        weights = self._weights(tuple(name for _, name in model_names(kind, complete)))
        return Job(draft.row, kind, draft.name, draft.inputs, draft.options, weights, frames)


def _text_encoder(model: str) -> Any:
    return load_text_encoder(hub.resolve(model).folder)


def _weights(models: tuple[str, ...]) -> Mapping[str, str]:
    return {f"{name}/{file}": digest for name in models for file, digest in hub.resolve(name).sha256.items()}


def option_problem(kind: str, column: str, value: str) -> str:
    """What is wrong with an option of a row; empty if nothing is that can be told on its own."""
    _, problems = _Reader("/").options(kind, {column: value})
    return problems[0][1] if problems else ""


def _check_columns(manifest: str, drafts: Iterable[_Draft], seen: Mapping[str, int]) -> None:
    """Raises InputError for columns that no command knows: such a table is not what it should be."""
    known = {"kind", "name"} | {o for kind in KINDS for o in (*verb(kind).inputs, *verb(kind).types)}
    wrong = [column for column in seen if column not in known and column not in NOT_FOR_BATCHES]
    if wrong:
        kinds = {draft.kind for draft in drafts} & set(KINDS) or set(KINDS)
        listed = "; ".join(
            f"{kind} has {', '.join((*verb(kind).inputs, *verb(kind).types))}" for kind in sorted(kinds)
        )
        guesses = [g for column in wrong for g in difflib.get_close_matches(column, known, 1)]
        hint = f" (did you mean {', '.join(guesses)}?)" if guesses else ""
        raise InputError(
            f"{manifest}: unknown column {', '.join(map(repr, wrong))}{hint}; besides kind and name, {listed}"
        )


def _unknown(column: str, kind: str, types: Mapping[str, Any]) -> str:
    return f"{kind} has no such option; it has {', '.join((*verb(kind).inputs, *types))}"


def _check_names(drafts: Iterable[_Draft]) -> None:
    """No two rows may write the same file, not even where names differ in upper and lower case only."""
    rows: dict[str, list[_Draft]] = defaultdict(list)
    for draft in drafts:
        if draft.name and not draft.problems:
            takes = int(draft.options.get("takes", 1))
            names = [draft.name] if takes == 1 else [f"{draft.name}-{k + 1}" for k in range(takes)]
            for name in names:
                rows[name.casefold()].append(draft)
    for same in rows.values():
        for draft in same[1:] and same:
            others = _rows([other.row for other in same if other is not draft])
            draft.wrong("name", f"{draft.name!r} is the name of {others}, too; give each a name of its own")


def _name_problem(name: Any) -> str:
    if not isinstance(name, str):
        name = str(name)
    if _FORBIDDEN.search(name):
        return f"{name!r} has characters that file names cannot have everywhere; use letters and digits"
    if name.lower().endswith((".mp4", ".mov", ".mkv", ".m4v")):
        return f"{name!r} has an ending; leave it out, results are .mp4"
    parts = name.split("/")
    if name.startswith("/") or ".." in parts:
        return f"{name!r} leads out of the batch's folder; give a name within it"
    if any(
        not part or part.startswith(".") or part != part.strip(" ") or part.endswith(".") for part in parts
    ):
        return f"{name!r} has a part that is empty, or begins or ends with a dot or a space; rename it"
    if any(len(part.encode()) > _LONGEST_NAME for part in parts):
        return f"{name[:40]!r}... is longer than {_LONGEST_NAME} bytes; shorten it"
    return ""


def _probe(drafts: Iterable[_Draft], progress: ProgressCallback | None) -> dict[str, Probed]:
    wanted: dict[tuple[str, Role], None] = {}
    for draft in drafts:
        for role, paths in draft.inputs.items():
            for path in paths:
                wanted[path, ROLES[role]] = None
    probed: dict[str, Probed] = {}
    for done, ((path, role), found) in enumerate(probe_all(wanted), 1):
        # A file that is asked for as two different things is broken as one of them.
        probed[f"{role}:{path}"] = found
        if not found.problem or path not in probed:
            probed[path] = found
        if progress is not None:
            progress(ProgressEvent("check inputs", done, len(wanted), unit="files"))
    return probed


def _check_inputs(draft: _Draft, probed: Mapping[str, Probed]) -> None:
    for role, paths in draft.inputs.items():
        for path in paths:
            problem = probed[f"{ROLES[role]}:{path}"].problem
            if problem:
                draft.wrong(role, f"{path}: {problem}")


def _model_problem(kind: str, column: str, name: str) -> str:
    try:
        files = hub.resolve(name)
        if kind == "listen" and column == "model":
            from headgen.listener_request import check_listener

            check_listener(name, files.folder)
    except HeadgenError as error:
        return str(error)
    return ""


def _placed(text: str, options: Mapping[str, Any]) -> tuple[str, str]:
    """A message of a command's check with the option that it is about, if it says so first."""
    first = re.split(r"[\s=:]", text, maxsplit=1)[0]
    return (first, text) if first in options else ("", text)


def _converted(value: Any, hint: Any) -> Any:
    """A cell as the value of an option.

    Raises:
        ValueError: it cannot be; says what is wanted.
    """
    if get_origin(hint) in (Union, UnionType):
        return _converted(value, next(one for one in get_args(hint) if one is not NoneType))
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise ValueError(f"{value!r} is unknown; choose from {', '.join(map(str, get_args(hint)))}")
        return value
    if hint is str:
        if not isinstance(value, str | int | float):
            raise ValueError(f"{value!r} is no text")
        return str(value)
    if hint is bool:
        if isinstance(value, bool):
            return value
        told = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        if str(value).lower() not in told:
            raise ValueError(f"{value!r} is neither true nor false; write true or false")
        return told[str(value).lower()]
    return _number(value, hint)


def _number(value: Any, kind: Callable[[Any], int | float]) -> int | float:
    wanted = "a whole number" if kind is int else "a number"
    try:
        number = math.nan if isinstance(value, bool | list | dict) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or (kind is int and number != int(number)):
        raise ValueError(f"{value!r} is not {wanted}; write {'7' if kind is int else '0.7'}, for one")
    if kind is int:  # of text, so that no digit of a large one is lost
        return int(value) if isinstance(value, int) or str(value).lstrip("+-").isdigit() else int(number)
    return number
