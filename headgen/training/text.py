"""Training of the text encoder: texts of a grammar, with what they ask for; no files are needed.

Each wish is spoken of or not, and if so is not to be done or has an amount: three binary cross-entropies, the
last one against the amount as a probability. Our design: nothing at all has a number of its own, because an
amount alone, in doubt between none and a lot, would say a little.
"""

from __future__ import annotations

import copy
from typing import Any

import lightning as L
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from headgen.evaluation.text_phrasings import phrasing_report
from headgen.listener.text import TextEncoder, tensors_of_words, words_of
from headgen.listener.wishes import WISHES
from headgen.synth.conversation.phrasing import pick
from headgen.training.average import move_average
from headgen.training.data import ENDLESS
from headgen.training.endless import EndlessData
from headgen.training.shares import Share, shared_mean
from headgen.training.text_grammar import Example, example

__all__ = ["RequestData", "Requests", "TextEncoderModule", "learnt_words", "mistyped"]

Item = tuple[list[str], Tensor, Tensor]
"""Words, which wishes are asked for (N,), and amounts (N,)."""
TYPOS, SHORTEST_TYPO = 0.05, 4
"""Share of words with a wrong letter, and letters from which on words have them."""
UNREAD = 0.03
"""Share of words that are not shown, so that no single one decides everything."""
VALIDATION_SEED = 2**32
LETTERS = "abcdefghijklmnopqrstuvwxyz"


class Requests(Dataset[Item]):
    """Texts with what they ask for; number i is a function of (seed, i) alone.

    Args:
        seed: base of all randomness.
        noisy: whether there are typing errors and words that are not shown.
    """

    def __init__(self, seed: int, noisy: bool) -> None:
        self.seed, self.noisy = seed, noisy

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, index: int) -> Item:
        rng = np.random.default_rng((self.seed, index))
        made = example(rng)
        words = words_of(made.text)
        if self.noisy:
            words = [self._spoilt(word, rng) for word in words]
        asked = torch.tensor([float(name in made.wishes) for name in WISHES])
        amounts = torch.tensor([made.wishes.get(name, 0.0) for name in WISHES])
        return words, asked, amounts

    @staticmethod
    def _spoilt(word: str, rng: np.random.Generator) -> str:
        chance = rng.random()
        if chance < UNREAD:
            return ""
        return mistyped(word, rng) if chance > 1 - TYPOS and len(word) >= SHORTEST_TYPO else word


def mistyped(word: str, rng: np.random.Generator) -> str:
    """A word with a letter wrong, missing, too many, or exchanged for its neighbour; the first one stays."""
    place = int(rng.integers(1, len(word)))
    letter = LETTERS[int(rng.integers(len(LETTERS)))]
    before, at, after = word[:place], word[place], word[place + 1 :]
    if place + 1 == len(word):
        exchanged = f"{before[:-1]}{at}{before[-1]}"
    else:
        exchanged = f"{before}{after[0]}{at}{after[1:]}"
    return pick((f"{before}{letter}{after}", before + after, f"{before}{letter}{at}{after}", exchanged), rng)


def learnt_words(count: int, seed: int) -> list[str]:
    """Words that ask for something, or stand beside them, in so many texts; sorted."""
    found: set[str] = set()
    for index in range(count):
        made: Example = example(np.random.default_rng((seed, index)))
        if not made.foreign:
            found.update(word for word in words_of(made.text) if word[0].isalpha())
    return sorted(found)


class RequestData(EndlessData):
    """Texts for training and validation.

    Args:
        batch_size: texts a step and process.
        workers: processes that make them; 0 makes them in the training process.
        seed: base of all randomness of the data.
        buckets: of the encoder.
    """

    def __init__(self, batch_size: int = 32, workers: int = 0, seed: int = 0, buckets: int = 8192) -> None:
        super().__init__(batch_size, workers)
        self.seed, self.buckets = seed, buckets

    def examples(self, split: str) -> Requests:
        """Texts; other ones for validation."""
        trains = split == "train"
        return Requests(self.seed if trains else self.seed + VALIDATION_SEED, trains)

    def collate(self, items: list[Item]) -> dict[str, Tensor]:
        """A batch of texts."""
        words, asked, amounts = zip(*items, strict=True)
        grams, places = tensors_of_words(words, self.buckets)
        return {
            "grams": grams,
            "places": places,
            "asked": torch.stack(asked),
            "amounts": torch.stack(amounts),
        }


class TextEncoderModule(L.LightningModule):
    """Trains `TextEncoder`; what is exported is its moving average, in half precision.

    Args:
        buckets: numbers that n-grams are hashed to.
        width: of the network.
        layers: of it.
        learning_rate: of AdamW, at first.
        total: steps of the cosine decay to nothing.
        dropout: share of n-grams that are withheld, so that words are known by each of their parts.
        average: decay of the moving average.
        texts: number of texts whose words count as learnt.
    """

    def __init__(
        self,
        buckets: int = 8192,
        width: int = 48,
        layers: int = 3,
        learning_rate: float = 4e-3,
        total: int = 2800,
        dropout: float = 0.2,
        average: float = 0.99,
        texts: int = 5000,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.model = TextEncoder(learnt_words(texts, 0), buckets, width, layers).train()
        self.average_model = copy.deepcopy(self.model).requires_grad_(False)

    @property
    def exported(self) -> TextEncoder:
        """The encoder as users load it."""
        return copy.deepcopy(self.average_model).half()

    def loss(self, model: TextEncoder, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Named losses of a batch."""
        asks, refuses, amounts = model(batch["grams"], batch["places"])
        asked, wanted = batch["asked"], (batch["amounts"] > 0).float()
        none = F.binary_cross_entropy_with_logits(refuses, 1 - wanted, reduction="none")
        amount = F.binary_cross_entropy_with_logits(amounts, batch["amounts"], reduction="none")
        return {
            "asked": F.binary_cross_entropy_with_logits(asks, asked) * len(WISHES),
            "none": (none * asked).sum() / shared_mean(asked.sum()).clamp(min=1),
            "amount": (amount * wanted).sum() / shared_mean(wanted.sum()).clamp(min=1),
        }

    def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:
        """One batch, with some n-grams withheld."""
        share = Share.of_step(self, index)
        generator = torch.Generator().manual_seed(share.start(1))
        kept = torch.rand(batch["grams"].shape, generator=generator) >= self.hparams.dropout
        terms = self.loss(self.model, {**batch, "grams": batch["grams"] * kept.to(batch["grams"].device)})
        for name, value in terms.items():
            self.log(f"train/{name}", value, sync_dist=True)
        return sum(terms.values(), torch.zeros((), device=self.device))

    def optimizer_step(self, *step: Any, **options: Any) -> None:
        """One step, after which the average moves, faster at first; a checkpoint comes later and has both."""
        super().optimizer_step(*step, **options)
        move_average(self.average_model, self.model, self.hparams.average, self.global_step + 1)

    def validation_step(self, batch: dict[str, Tensor], index: int) -> None:
        """Losses of the average."""
        for name, value in self.loss(self.average_model, batch).items():
            self.log(f"val/{name}", value, batch_size=len(batch["places"]), sync_dist=True)

    def on_validation_epoch_end(self) -> None:
        """Precision and recall on phrasings that are never trained on."""
        report = phrasing_report(copy.deepcopy(self.average_model).eval())
        for name in ("precision", "recall", "amounts"):
            self.log(f"val/phrasings_{name}", report[name], sync_dist=True)

    def configure_optimizers(self) -> Any:
        """AdamW with a cosine."""
        optimizer = torch.optim.AdamW(self.model.parameters(), self.hparams.learning_rate, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.hparams.total)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
