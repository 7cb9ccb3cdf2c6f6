"""Reads what a listener is asked to do: words become wishes, range by range.

Ranges are read by rule, words by a small trained network. Our design: a word is the sum of what its letters
are (n-grams, as in fastText, Bojanowski et al. 2017, section 3.2), so inflections and typing errors that were
never seen look like what they come from; convolutions show each word its surroundings, so that "without
nodding" is no nod; then each word says for itself which wishes it asks for, and how much of each. A text asks
for what its words ask for, however long it is. `headgen.training.text` trains it.

Shapes: B texts, W words, U different words, G n-grams of a word, D width, N wishes.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from einops import rearrange
from torch import Tensor, nn

from headgen.errors import InputError, WeightsError
from headgen.listener.wishes import ATTITUDES, FULL, WISHES, Wish
from headgen.nn.kept import kept
from headgen.nn.saved import saved_config

__all__ = [
    "TextEncoder",
    "TextRequest",
    "load_text_encoder",
    "read_ranges",
    "read_text",
    "tensors_of_words",
    "understand",
    "words_of",
]

GRAMS = range(3, 5)
"""Letters of an n-gram; the word's bounds count as letters."""
MOST_GRAMS = 24
"""Of a word; what longer words have besides is left out."""
STEP = 0.05
"""Amounts are told to this."""
ASKED = 0.0
"""Logit over which a wish counts as asked for."""
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*|\d+|[,;.:!?]")
_TIME = r"\d+(?::\d{1,2}){0,2}(?:\.\d+)?"
_UNIT = r"\s*(?:seconds|secs?|s)?\s*"
_RANGE = re.compile(rf"(?<![\w:.])({_TIME}){_UNIT}(?:-|–|to\b)\s*({_TIME})?{_UNIT}:", re.IGNORECASE)
_LEFT_OVER = re.compile(r"[\d:.\-–]*\d[\d:.\-–]*\s*s?\s*:")


@dataclass(frozen=True)
class TextRequest:
    """What was read.

    Attributes:
        wishes: what is asked for, in the order of the text.
        guessed: words never learnt that were made something of, by their letters.
        unknown: words never learnt that were made nothing of.
        impossible: attitudes that are asked not to be had, which says nothing of the one to have.
    """

    wishes: tuple[Wish, ...]
    guessed: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    impossible: tuple[str, ...] = ()

    @property
    def understood(self) -> str:
        """The wishes in words: "smile 0.75, nod 0.5; 5 s to the end: surprised 0.75"."""
        ranges: dict[tuple[float, float], list[str]] = {}
        for wish in self.wishes:
            amount = "none" if wish.amount == 0 else f"{wish.amount:.2g}"
            ranges.setdefault((wish.start, wish.end), []).append(f"{wish.name} {amount}")
        return "; ".join(_when(*span) + ", ".join(some) for span, some in ranges.items())

    @property
    def doubts(self) -> str:
        """What to tell the writer besides; nothing if every word is known."""
        parts = [
            f"{what}: " + ", ".join(f'"{word}"' for word in words)
            for what, words in (("guessed", self.guessed), ("not understood", self.unknown))
            if words
        ]
        if self.impossible:
            parts.append(
                f"left out: not {', not '.join(self.impossible)} (name the attitude to have instead)"
            )
        return "; ".join(parts)

    def __str__(self) -> str:
        return "; ".join(filter(None, (f"understood: {self.understood}", self.doubts)))


def _when(start: float, end: float) -> str:
    if start == 0 and end == math.inf:
        return ""
    return f"{start:g} s to {'the end' if end == math.inf else f'{end:g} s'}: "


class _Block(nn.Module):
    """Shows each word its surroundings."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Conv1d(width, 2 * width, 5, padding=2 * dilation, dilation=dilation)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        """(B, W, D) to the same; words that are not `there` (B, W, 1) are nothing to the others."""
        mixed = self.mix(rearrange(self.norm(x) * there, "b w d -> b d w"))
        return x + self.out(rearrange(F.glu(mixed, dim=1), "b d w -> b w d"))


class TextEncoder(ModelMixin, ConfigMixin):
    """From words to wishes.

    Args:
        vocabulary: words that training has met, in lower case: the others are named to the writer.
        buckets: numbers that n-grams are hashed to.
        width: D.
        layers: blocks; each looks twice as far as the one before it.
    """

    @register_to_config
    def __init__(
        self, vocabulary: Sequence[str] = (), buckets: int = 8192, width: int = 48, layers: int = 3
    ) -> None:
        super().__init__()
        self.known = frozenset(vocabulary)
        self.letters = nn.Embedding(buckets, width, padding_idx=0)
        self.norm = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(_Block(width, 2**k) for k in range(layers))
        self.out_norm = nn.LayerNorm(width)
        self.asks = nn.Linear(width, len(WISHES))
        self.refuses = nn.Linear(width, len(WISHES))
        self.amount = nn.Linear(width, len(WISHES))
        nn.init.normal_(self.letters.weight[1:], std=0.3)  # the first one stands for none, and is zero
        nn.init.constant_(self.asks.bias, -4.0)  # most words ask for nothing

    def forward(self, grams: Tensor, places: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reads texts.

        Args:
            grams: (U, G) of each different word, see `tensors_of_words`.
            places: (B, W) which of the words stands where.

        Returns:
            Logits (B, N) of being spoken of, of being what is not to be done, and of the amount otherwise.
        """
        count = (grams != 0).sum(-1, keepdim=True)  # (U, 1)
        words = self.norm(self.letters(grams).sum(1) / count.clamp(min=1).sqrt())  # (U, D)
        there = (count > 0)[places]  # (B, W, 1)
        x = words[places] * there  # (B, W, D)
        for block in self.blocks:
            x = block(x, there)
        x = self.out_norm(x)
        asks = self.asks(x).masked_fill(~there, -30.0)  # (B, W, N)
        share = asks.softmax(1)
        refuses, amount = ((share * part(x)).sum(1) for part in (self.refuses, self.amount))
        return asks.logsumexp(1), refuses, amount


def words_of(text: str) -> list[str]:
    """Words, numbers and punctuation of a text, in lower case."""
    return _WORD.findall(text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))


def tensors_of_words(texts: Sequence[Sequence[str]], buckets: int) -> tuple[Tensor, Tensor]:
    """Texts as the network reads them.

    Args:
        texts: words of each; an empty word is one that cannot be read.
        buckets: of the network.

    Returns:
        Hashed n-grams (U, G) int64 of each different word, 0 where there is none, those of no word first; and
        places (B, W) int64 of these words.
    """
    number = {"": 0}
    longest = max(map(len, texts))
    places = [
        [number.setdefault(word, len(number)) for word in (*words, *[""] * (longest - len(words)))]
        for words in texts
    ]
    hashed = [_grams(word, buckets) for word in number]
    most = max(1, *map(len, hashed))
    return torch.tensor([[*one, *[0] * (most - len(one))] for one in hashed]), torch.tensor(places)


@lru_cache(2**15)
def _grams(word: str, buckets: int) -> tuple[int, ...]:
    """The word itself, then its n-grams; nothing of no word."""
    bounded = f"<{word}>"
    pieces = [bounded[k : k + size] for size in GRAMS for k in range(len(bounded) - size + 1)]
    parts = [bounded, *(piece for piece in pieces if piece != bounded)] if word else []
    return tuple(1 + zlib.crc32(part.encode()) % (buckets - 1) for part in parts[:MOST_GRAMS])


@torch.inference_mode()
def understand(text: str, encoder: TextEncoder) -> dict[str, float]:
    """What a text without ranges asks for: amounts, 0 to 1, by wish."""
    return _understand([words_of(text)], encoder)[0]


@torch.inference_mode()
def _understand(texts: Sequence[Sequence[str]], encoder: TextEncoder) -> list[dict[str, float]]:
    tensors = (one.to(encoder.device) for one in tensors_of_words(texts, encoder.config.buckets))
    asks, refuses, amounts = encoder(*tensors)
    steps = (amounts.sigmoid() / STEP).round().clamp(min=1) * (refuses <= 0)
    return [
        {
            name: round(STEP * step, 2)
            for name, logit, step in zip(WISHES, *rows, strict=True)
            if logit > ASKED
        }
        for rows in zip(asks.tolist(), steps.tolist(), strict=True)
    ]


def read_text(text: str, encoder: TextEncoder) -> TextRequest:
    """Reads what a listener is asked to do.

    Args:
        text: English, such as ``smiles warmly and nods``; with ranges, ``0-5: neutral; 5-: surprised``. Times
            are seconds or ``minutes:seconds``; what stands before the first range holds for the whole video.
        encoder: reads the words.

    Raises:
        InputError: a range that cannot be read, or nothing was understood.
    """
    wishes: list[Wish] = []
    guessed: dict[str, None] = {}
    unknown: dict[str, None] = {}
    impossible: dict[str, None] = {}
    for start, end, part in read_ranges(text):
        words = words_of(part)
        strange = [k for k, word in enumerate(words) if word[0].isalpha() and word not in encoder.known]
        without = [[*words[:k], "", *words[k + 1 :]] for k in strange]
        found, *others = _understand([words, *without], encoder)
        for k, other in zip(strange, others, strict=True):
            (guessed if other.keys() != found.keys() else unknown)[words[k]] = None
        for name, amount in found.items():
            if name in ATTITUDES and amount == 0:
                impossible[name] = None
            else:
                wishes.append(Wish(name, amount, start, end))
    if not wishes:
        raise InputError(
            f"text {text!r}: nothing in it was understood; ask for an attitude ({', '.join(ATTITUDES)}) or "
            f"a behaviour ({', '.join(name.replace('_', ' ') for name in FULL)}), such as 'smiles and nods'"
        )
    return TextRequest(tuple(wishes), tuple(guessed), tuple(unknown), tuple(impossible))


def read_ranges(text: str) -> list[tuple[float, float, str]]:
    """Parts of a text with the seconds between which they hold.

    Raises:
        InputError: a range that is empty or cannot be read.
    """
    marks = list(_RANGE.finditer(text))
    parts = [(0.0, math.inf, text[: marks[0].start()] if marks else text)]
    stops = [*(mark.start() for mark in marks[1:]), len(text)]
    for mark, stop in zip(marks, stops, strict=False):  # without a range, nothing stops
        start = _seconds(mark[1])
        end = math.inf if mark[2] is None else _seconds(mark[2])
        if start >= end:
            raise InputError(
                f"text: the range {mark[0].rstrip(':')!r} holds no time; give the earlier time first"
            )
        parts.append((start, end, text[mark.end() : stop]))
    for _, _, part in parts:
        wrong = _LEFT_OVER.search(part)
        if wrong:
            raise InputError(
                f"text: cannot read the range {wrong[0].rstrip(': ')!r}; write '0-5: neutral; 5-: "
                "surprised', in seconds or minutes:seconds"
            )
    return [(start, end, part) for start, end, part in parts if words_of(part)]


def _seconds(time: str) -> float:
    """Of "4.5", "0:05" or "1:00:00"."""
    total = 0.0
    for part in time.split(":"):
        total = 60 * total + float(part)
    return total


def load_text_encoder(folder: Path) -> TextEncoder:
    """The text encoder of a folder of weights.

    Raises:
        WeightsError: the folder holds something else.
    """
    if saved_config(folder / "config.json").get("_class_name") != TextEncoder.__name__:
        raise WeightsError(
            f"{folder}: is no text encoder; give listener-text, or the folder model/ that "
            "`headgen train listener-text` wrote"
        )
    return kept(_load, folder)


def _load(folder: Path) -> TextEncoder:
    encoder = TextEncoder.from_pretrained(folder, low_cpu_mem_usage=False)
    return encoder.float().eval()  # weights may lie in half precision, half as large
