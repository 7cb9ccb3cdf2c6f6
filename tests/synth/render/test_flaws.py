import cv2
import numpy as np

from headgen.synth.render.flaws import Flaws, motion_blurred, quantised


def photograph() -> np.ndarray:
    y, x = np.mgrid[0:96, 0:128]
    waves = 120 + 60 * np.sin(x / 7) * np.cos(y / 5)
    return np.stack([waves + 20, waves, waves - 20], -1).astype(np.uint8)


def test_a_perfect_camera_changes_nothing() -> None:
    image = photograph()
    smooth = cv2.GaussianBlur(image, (0, 0), 3)  # colour is stored at half the resolution
    assert np.abs(Flaws(seed=0).camera()(smooth).astype(int) - smooth).max() <= 2


def test_same_clip_twice_and_in_pieces_is_the_same() -> None:
    rng = np.random.default_rng(3)
    frames = [np.roll(photograph(), k, 1) for k in range(5)]
    for _ in range(4):
        flaws = Flaws.draw(rng)
        one, two = flaws.camera(), flaws.camera()
        first = [one(frame) for frame in frames]
        second = [two(frame) for frame in frames]
        assert all(a.tobytes() == b.tobytes() for a, b in zip(first, second, strict=True))
    assert Flaws.draw(np.random.default_rng(1)) == Flaws.draw(np.random.default_rng(1))
    assert Flaws.draw(np.random.default_rng(1)) != Flaws.draw(np.random.default_rng(2))


def test_only_noise_changes_in_a_still_clip() -> None:
    flaws = Flaws(seed=1, exposure=0.4, balance=(1.1, 1, 0.9), vignette=0.4, defocus=1.0, resolution=0.7)
    camera = flaws.camera()
    first, second = camera(photograph()), camera(photograph())
    assert (first == second).all()
    noisy = Flaws(seed=1, noise=4.0, chroma_noise=3.0).camera()
    first, second = noisy(photograph()).astype(int), noisy(photograph()).astype(int)
    assert 3 < (first - second).std() < 12
    assert abs((first - photograph()).mean()) < 0.5


def test_each_flaw_does_what_it_says() -> None:
    image = photograph()

    def taken(**values: float) -> np.ndarray:
        return Flaws(seed=0, **values).camera()(image).astype(int)  # type: ignore[arg-type]

    plain = taken()
    assert taken(exposure=0.5).mean() > plain.mean() + 15
    assert taken(contrast=0.7).std() < 0.8 * plain.std()
    assert np.ptp(taken(saturation=0.0).mean((0, 1))) < 1.5
    assert taken(black=20.0).min() > plain.min() + 5
    dim = taken(vignette=0.5) / np.maximum(plain, 1)
    assert dim[0, 0].mean() < 0.6 and dim[48, 64].mean() > 0.97
    sharp = np.abs(np.diff(plain, axis=1)).mean()
    assert np.abs(np.diff(taken(defocus=8.0), axis=1)).mean() < 0.8 * sharp
    fine = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    assert Flaws(seed=0, resolution=0.5).camera()(fine).std() < 0.75 * Flaws(seed=0).camera()(fine).std()
    warm = taken(balance=(1.2, 1.0, 0.8)) - plain
    assert warm[..., 0].mean() > 10 and warm[..., 2].mean() < -10


def test_compression_loses_detail_and_freezes_what_is_still() -> None:
    image = photograph()
    fine, coarse = (Flaws(seed=0, compression=c).camera()(image).astype(int) for c in (2.0, 25.0))
    assert np.abs(fine - image).mean() < np.abs(coarse - image).mean() < 15
    still = Flaws(seed=0, compression=8.0, noise=1.0).camera()
    still(image)
    shown = [still(image) for _ in range(3)]
    quiet = (shown[0] == shown[1]).all(-1)
    assert quiet.mean() > 0.5  # noise below the quantiser's step is not sent
    plane = np.random.default_rng(0).normal(0, 40, (20, 37)).astype(np.float32)
    assert quantised(plane, 1e-3, 0.5).shape == plane.shape
    assert np.abs(quantised(plane, 1e-3, 0.5) - plane).max() < 0.02
    assert (quantised(np.full((8, 8), 0.4, np.float32), 20.0, 1 / 6) == 0).all()


def test_motion_blurs_along_the_way_only() -> None:
    image = np.zeros((64, 64, 3), np.float32)
    image[:, 32] = 255
    way = np.zeros((64, 64, 2), np.float32)
    way[..., 0] = 8
    along = motion_blurred(image, way)
    assert along.max() < 100 and abs(along.sum() - image.sum()) < 0.02 * image.sum()
    assert (motion_blurred(image, way[..., ::-1].copy())[8:-8] == image[8:-8]).all()
    assert motion_blurred(image, 0.01 * way) is image
    moving = Flaws(seed=0, shutter=0.5).camera()(photograph(), way[:1, :1].repeat(96, 0).repeat(128, 1) * 2)
    assert (
        np.abs(np.diff(moving.astype(int), axis=1)).mean()
        < np.abs(np.diff(photograph().astype(int), axis=1)).mean()
    )
