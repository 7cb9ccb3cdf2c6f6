"""Pictures of hair: strands along a flow, colours of human hair, wisps with soft ends.

A picture of hair starts as brightness (0 to 1) and coverage (0 to 1); `HairColour.paint` makes a texture of
both. Legend: H x W texels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

COLOURS: dict[str, tuple[tuple[int, int, int], tuple[int, int, int], tuple[int, int, int]]] = {
    "black": ((9, 8, 8), (27, 24, 24), (66, 62, 62)),
    "dark brown": ((17, 11, 8), (46, 31, 23), (96, 70, 52)),
    "brown": ((30, 19, 12), (78, 53, 36), (140, 103, 72)),
    "light brown": ((52, 36, 23), (116, 84, 57), (178, 139, 98)),
    "auburn": ((36, 15, 9), (96, 45, 27), (158, 88, 56)),
    "red": ((62, 24, 9), (148, 72, 34), (212, 133, 78)),
    "dark blond": ((66, 49, 29), (138, 108, 69), (196, 164, 114)),
    "blond": ((98, 76, 44), (180, 148, 98), (230, 204, 154)),
    "platinum": ((132, 118, 92), (208, 194, 164), (244, 236, 214)),
    "grey": ((58, 57, 57), (126, 124, 122), (192, 190, 187)),
    "white": ((128, 126, 123), (200, 198, 194), (244, 243, 240)),
}
"""Shadow, middle and light of each natural colour, sRGB."""

COMMON = {
    "black": 0.22, "dark brown": 0.22, "brown": 0.16, "light brown": 0.08, "auburn": 0.04, "red": 0.03,
    "dark blond": 0.07, "blond": 0.06, "platinum": 0.02, "grey": 0.06, "white": 0.04,
}  # fmt: skip
"""How often each colour is drawn. Our design: evened out against the world's, most of which is black."""

WISPS = 8  # columns of the atlas of strips


@dataclass(frozen=True)
class HairColour:
    """A colour of hair.

    Attributes:
        shadow, middle, light: sRGB from 0 to 255, for brightness 0, 0.5 and 1.
        grey: share of grey strands, 0 to 1.
    """

    shadow: tuple[float, float, float]
    middle: tuple[float, float, float]
    light: tuple[float, float, float]
    grey: float = 0.0

    @classmethod
    def named(cls, name: str, grey: float = 0.0) -> HairColour:
        """One of `COLOURS`.

        Raises:
            ValueError: an unknown name.
        """
        if name not in COLOURS:
            raise ValueError(f"no hair colour {name!r}; known: {', '.join(COLOURS)}")
        return cls(*COLOURS[name], grey)

    @classmethod
    def sample(cls, rng: np.random.Generator) -> HairColour:
        """A colour of the human range, a little off the named ones, sometimes going grey."""
        name = str(rng.choice(list(COMMON), p=np.array(list(COMMON.values()))))
        grey = rng.beta(1, 2) if rng.random() < 0.2 else 0.0
        exponent, tint = np.exp(rng.normal(0, 0.12)), np.exp(rng.normal(0, [0.02, 0.006, 0.02]))
        three = [tuple(np.clip(255 * (np.array(c) / 255) ** exponent * tint, 2, 252)) for c in COLOURS[name]]
        return cls(three[0], three[1], three[2], float(grey))

    def darker(self, by: float) -> HairColour:
        """The same colour with every channel times `by`."""
        three = [tuple(by * np.array(c)) for c in (self.shadow, self.middle, self.light)]
        return replace(self, shadow=three[0], middle=three[1], light=three[2])

    def mixed(self, other: np.ndarray, share: float) -> HairColour:
        """The same colour with `share` of another (3,), sRGB."""
        own = (self.shadow, self.middle, self.light)
        three = [tuple((1 - share) * np.array(c) + share * np.asarray(other)) for c in own]
        return replace(self, shadow=three[0], middle=three[1], light=three[2])

    def paint(
        self, brightness: np.ndarray, cover: np.ndarray, strand: np.ndarray | None = None
    ) -> np.ndarray:
        """(H, W, 4) uint8 sRGB with alpha.

        Args:
            brightness: (H, W) 0 to 1.
            cover: (H, W) 0 to 1, the alpha.
            strand: (H, W) 0 to 1, a number that is alike along each strand; those below `grey` turn grey.
                Without it all of it turns as grey as that.
        """
        steps = (0.0, 0.5, 1.0)

        def ramp(three: tuple[tuple[float, ...], ...]) -> np.ndarray:
            channels = [np.interp(brightness, steps, [colour[k] for colour in three]) for k in range(3)]
            return np.stack(channels, -1)

        colour = ramp((self.shadow, self.middle, self.light))
        if self.grey > 0:
            whole = np.full_like(brightness, self.grey)
            turned = whole if strand is None else 1 / (1 + np.exp((strand - self.grey) / 0.08))
            white = ramp(COLOURS["grey" if sum(self.middle) < 300 else "white"])
            colour += (white - colour) * turned[..., None]
        return np.dstack([np.clip(colour, 0, 255), 255 * np.clip(cover, 0, 1)]).round().astype(np.uint8)


def streaks(
    flow: np.ndarray, rng: np.random.Generator, length: float = 24.0, grain: float = 1.0
) -> np.ndarray:
    """Noise drawn out along a flow (line integral convolution; Cabral and Leedom, SIGGRAPH 1993).

    Args:
        flow: (H, W, 2) direction u, v; texels, any length.
        rng: of the noise.
        length: texels along which the noise is averaged.
        grain: width of a strand in texels.

    Returns:
        (H, W) float32, evenly distributed from 0 to 1.
    """
    height, width = flow.shape[:2]
    noise = rng.random((height, width), np.float32)
    if grain > 1:
        small = rng.random((max(2, int(height / grain)), max(2, int(width / grain))), np.float32)
        noise = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    unit = (flow / (np.linalg.norm(flow, axis=-1, keepdims=True) + 1e-9)).astype(np.float32)
    start = np.dstack(np.meshgrid(np.arange(width), np.arange(height))).astype(np.float32)
    total = noise.copy()
    step = 1.0
    for sign in (-1, 1):
        place, way = start.copy(), unit * sign
        for _ in range(int(length / 2 / step)):
            place += step * way
            turned = cv2.remap(unit, place, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            along = (turned * way).sum(-1, keepdims=True)
            way = np.where(along < 0, -turned, turned)
            total += cv2.remap(noise, place, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return evened(total)


def evened(values: np.ndarray) -> np.ndarray:
    """Values replaced by their rank, 0 to 1, so that a threshold is a share of the area."""
    order = np.argsort(values, axis=None, kind="stable")
    rank = np.empty(values.size, np.float32)
    rank[order] = np.linspace(0, 1, values.size, dtype=np.float32)
    return rank.reshape(values.shape)


def blotches(shape: tuple[int, int], size: float, rng: np.random.Generator) -> np.ndarray:
    """(H, W) smooth noise of blotches of `size` texels; mean 0, deviation 1."""
    cells = (max(3, int(shape[0] / size) + 2), max(3, int(shape[1] / size) + 2))
    small = rng.normal(size=cells).astype(np.float32)
    out = cv2.resize(small, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return (out - out.mean()) / (out.std() + 1e-6)


def _lines(rng: np.random.Generator, shift: np.ndarray, width: int, grain: float) -> np.ndarray:
    """(H, width) noise of lines from top to bottom, moved sideways by `shift` (H, 1) texels; evened out."""
    height = len(shift)
    noise = rng.normal(size=(5, int(width / grain) + 2)).astype(np.float32)
    noise[1:] = noise[0] + 0.5 * noise[1:]
    noise = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    column = np.arange(width, dtype=np.float32)[None] - shift.astype(np.float32)
    row = np.broadcast_to(np.arange(height, dtype=np.float32)[:, None], column.shape)
    moved = cv2.remap(noise, column, np.ascontiguousarray(row), cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return evened(moved + 0.15 * rng.normal(size=moved.shape).astype(np.float32))


def wisps(
    rng: np.random.Generator, size: tuple[int, int] = (256, 512), curl: float = 0.0, ragged: float = 0.35
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An atlas of `WISPS` strips of hair side by side, roots at the top: brightness, cover and strand (H, W).

    Args:
        rng: of the strands.
        size: H, W.
        curl: sideways swing of the strands, as a share of a wisp's width.
        ragged: share of the length over which the ends thin out.
    """
    height, width = size
    one = width // WISPS
    brightness, cover, strand = (np.zeros(size, np.float32) for _ in range(3))
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    for k in range(WISPS):
        across = np.linspace(-1, 1, one, dtype=np.float32)[None]
        swing = curl * np.sin(2 * np.pi * (down * (1.5 + 1.5 * curl) + rng.random()))
        bend = 0.12 * np.sin(2 * np.pi * (down * rng.uniform(0.4, 0.9) + rng.random()))
        x = across - swing - bend
        shift = (swing + bend) * one / 2
        fine, broad = _lines(rng, shift, one, 1.2), _lines(rng, shift, one, 5.0)
        # full in the middle, thin at the sides, and thinner still towards the tip
        narrowing = 1 - 0.45 * np.clip((down - 1 + 2 * ragged) / (2 * ragged), 0, 1) ** 1.5
        side = np.clip((narrowing - np.abs(x)) / 0.35, 0, 1)
        end = np.clip((1 - down) / ragged, 0, 1) ** 0.7
        density = np.clip(side * 1.15, 0, 1) * end
        lock = slice(k * one, (k + 1) * one)
        hairs = 0.6 * fine + 0.4 * broad
        cover[:, lock] = np.clip((density - 0.98 * evened(hairs)) * 8 + 0.5, 0, 1)
        tone = rng.normal(0, 0.05)
        brightness[:, lock] = 0.42 + tone + 0.5 * (hairs - 0.5) - 0.12 * np.abs(x) + 0.12 * down
        strand[:, lock] = evened(0.5 * fine + 0.5 * broad)
    return np.clip(brightness, 0, 1), cover, strand
