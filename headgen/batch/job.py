"""A job: one checked row of a manifest, and what makes it the same job or another one."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_type_hints

import headgen
from headgen.listen import EDITOR
from headgen.listener_request import PAINTER, usual_model
from headgen.progress import ProgressCallback
from headgen.scheduler.cache import fingerprint

__all__ = ["KINDS", "NOT_FOR_BATCHES", "Job", "Kind", "Verb", "model_names", "verb"]

Kind = Literal["reenact", "listen"]
KINDS: tuple[Kind, ...] = ("reenact", "listen")

NOT_FOR_BATCHES = {
    "output": "each job is written to the batch's folder under its name",
    "workers": "a batch has its own workers; give --workers to headgen batch",
    "executor": "a batch has its own workers; give --executor to headgen batch",
    "address": "a batch has its own workers; give --address to headgen batch",
    "cpus": "a batch has its own workers",
    "gpus": "a batch has its own workers",
    "cache": "a batch keeps whole videos, not segments",
    "stream": "a live listener depends on how busy the machine is, so a batch could not make it again",
    "delay": "it belongs to live listeners, which a batch does not make",
}
"""Options of the commands that no row may give, and why."""

_INPUTS: dict[str, tuple[str, ...]] = {"reenact": ("source", "driving"), "listen": ("speaker", "portrait")}


@dataclass(frozen=True)
class Verb:
    """A command as a batch sees it."""

    function: Callable[..., Any]
    check: Callable[..., Any]
    """Checks options without files: has parameters of the same names."""
    inputs: tuple[str, ...]
    """Parameters that are files, all of them required."""
    several: frozenset[str]
    """Those that take more than one file."""
    types: Mapping[str, Any]
    """Type of each other option that a row may give."""
    defaults: Mapping[str, Any]
    """Their defaults."""


@functools.cache
def verb(kind: str) -> Verb:
    """The command that does a kind of job; imports it."""
    module = import_module(f"headgen.{kind}")
    function = getattr(module, kind)
    hints = get_type_hints(function)
    inputs = _INPUTS[kind]
    left_out = {*inputs, *NOT_FOR_BATCHES, "progress"}
    options = {k: p for k, p in inspect.signature(function).parameters.items() if k not in left_out}
    return Verb(
        function,
        module.check_options,
        inputs,
        frozenset(name for name in inputs if hints[name] == list[Path]),
        {name: hints[name] for name in options},
        {name: parameter.default for name, parameter in options.items()},
    )


def model_names(kind: str, options: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The models that a job uses, each with the option that decides about it, if one does.

    Args:
        kind: of the job.
        options: all of them.
    """
    names = [("model", options["model"])]
    if kind == "listen":
        if options["model"] is None:
            names = [("model", usual_model(options["long"] == "causal"))]
        names.append(("", PAINTER))
        if (options["long"], options["transition"]) == ("segments", "edit"):
            names.append(("transition", EDITOR))
        if options["text"] is not None:
            names.append(("text_model", options["text_model"]))
    return names


@dataclass(frozen=True, slots=True)
class Job:
    """One checked row.

    Jobs are small and can be pickled; files travel as paths or addresses only.
    """

    row: int
    """Of the manifest, as a spreadsheet or an editor counts, from 1."""
    kind: Kind
    name: str
    """Of the result: ``NAME.mp4`` below the batch's folder; may have ``/`` in it."""
    inputs: Mapping[str, tuple[str, ...]]
    """Absolute paths or fsspec addresses by parameter."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments that the row gives; all others keep their defaults."""
    weights: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 by model and file name of all weights that have a part in it."""
    frames: int | None = None
    """Frames that it will have, as far as its inputs say so; for estimates only."""

    @property
    def files(self) -> tuple[str, ...]:
        """All inputs, in a fixed order."""
        return tuple(path for role in verb(self.kind).inputs for path in self.inputs[role])

    @property
    def takes(self) -> int:
        """Videos that it makes."""
        return int(self.options.get("takes", 1))

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of its videos relative to the batch's folder: ``NAME.mp4``, or one for each take."""
        if self.takes == 1:
            return (f"{self.name}.mp4",)
        return tuple(f"{self.name}-{k + 1}.mp4" for k in range(self.takes))

    def identity(self, digests: Mapping[str, str]) -> str:
        """SHA-256 of all that decides about its bytes: it changes when, and only when, these may.

        Neither its name nor its row nor the names of its files have a part in it.

        Args:
            digests: SHA-256 of every input's contents by path.
        """
        facts = {
            "kind": self.kind,
            "inputs": {role: [digests[path] for path in paths] for role, paths in self.inputs.items()},
            "options": {**verb(self.kind).defaults, **self.options},
            "weights": self.weights,
            "version": headgen.__version__,
        }
        return fingerprint(facts)

    def run(
        self, inputs: Mapping[str, tuple[Path, ...]], output: Path, progress: ProgressCallback | None = None
    ) -> Any:
        """Does it, here and now.

        Args:
            inputs: the local files that stand for `inputs`.
            output: video to be written; with several takes, what their names are made of.
            progress: called by the command.

        Returns:
            What the command returns.
        """
        command = verb(self.kind)
        files = {role: list(paths) if role in command.several else paths[0] for role, paths in inputs.items()}
        return command.function(**files, output=output, **self.options, progress=progress)
