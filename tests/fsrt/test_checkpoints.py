"""Official checkpoints: read whole, or refused with the file's name and what to do."""

from __future__ import annotations

import json
from pathlib import Path

import fsrt_parity
import pytest
import torch

from headgen.errors import InputError, WeightsError
from headgen.fsrt.checkpoints import convert
from headgen.fsrt.model import FSRT

KEYS = json.loads((Path(__file__).parent / "tiny_keys.json").read_text())


@pytest.fixture
def files(tmp_path):
    return fsrt_parity.write_official(tmp_path, KEYS, "T")


def edited(file: Path, edit) -> Path:
    state = torch.load(file, weights_only=False)
    edit(state)
    torch.save(state, file)
    return file


def refusal(detector: Path, checkpoint: Path, tmp_path: Path) -> str:
    output = tmp_path / "converted"
    with pytest.raises(WeightsError) as caught:
        convert(detector, checkpoint, output)
    assert not output.exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_conversion_is_read_back_whole(files, tmp_path):
    made = convert(*files, tmp_path / "converted")
    read = FSRT.from_pretrained(tmp_path / "converted")
    assert sorted(p.name for p in (tmp_path / "converted").iterdir()) == [
        "config.json",
        "diffusion_pytorch_model.safetensors",
    ]
    assert read.config.decoder_render == [48, 32] and read.config.num_keypoints == 4
    official = sum(len(v) for v in KEYS.values())
    assert len(read.state_dict()) == official
    for name, value in made.state_dict().items():
        assert torch.equal(value, read.state_dict()[name]), name
    assert not read.training


def test_every_official_value_arrives_once(files, tmp_path):
    made = convert(*files, tmp_path / "converted")
    official = torch.load(files[0]) | {
        f"{part}.{key}": value
        for part, state in torch.load(files[1], weights_only=False).items()
        if part in fsrt_parity.PARTS
        for key, value in state.items()
    }
    assert sorted(float(v.double().sum()) for v in official.values()) == pytest.approx(
        sorted(float(v.double().sum()) for v in made.state_dict().values())
    )


def test_swapped_files(files, tmp_path):
    message = refusal(files[1], files[0], tmp_path)
    assert "vox256.pt" in message and "swap the two files" in message


def test_the_same_file_twice(files, tmp_path):
    message = refusal(files[0], files[0], tmp_path)
    assert "kp_detector.pt" in message and "swap the two files" in message


def test_missing_file(files, tmp_path):
    assert "gone.pt: no such file" in refusal(files[0], tmp_path / "gone.pt", tmp_path)


def test_not_a_checkpoint(files, tmp_path):
    files[1].write_bytes(b"<html>quota exceeded</html>")
    message = refusal(*files, tmp_path)
    assert "vox256.pt" in message and "download it again" in message


def test_truncated_checkpoint(files, tmp_path):
    files[1].write_bytes(files[1].read_bytes()[:-5000])
    assert "vox256.pt" in refusal(*files, tmp_path)


def test_code_in_a_pickle_is_not_run(files, tmp_path):
    class Payload:
        def __reduce__(self):
            return Path.touch, (tmp_path / "run",)

    edited(files[1], lambda state: state.update(run_id=Payload()))
    refusal(*files, tmp_path)
    assert not (tmp_path / "run").exists()


def test_missing_part(files, tmp_path):
    edited(files[1], lambda state: state.pop("expression_encoder"))
    message = refusal(*files, tmp_path)
    assert "vox256.pt" in message and "'expression_encoder'" in message


@pytest.mark.parametrize(
    ("part", "key"),
    [
        ("encoder", "per_patch_linear.bias"),
        ("decoder", "render_mlp.2.weight"),
        ("decoder", "render_mlp.4.bias"),
    ],
)
def test_missing_entry(files, tmp_path, part, key):
    edited(files[1], lambda state: state[part].pop(key))
    message = refusal(*files, tmp_path)
    assert "vox256.pt" in message and part in message
    assert "download it again" in message or "give an official one" in message


def test_wrong_shape(files, tmp_path):
    edited(
        files[1], lambda s: s["encoder"].update({"conv_blocks.1.layers.0.weight": torch.zeros(8, 8, 1, 1)})
    )
    message = refusal(*files, tmp_path)
    assert "vox256.pt" in message and "'conv_blocks.1.layers.0.weight'" in message
    assert "[8, 8, 1, 1]" in message and "[8, 8, 3, 3]" in message


def test_foreign_entry(files, tmp_path):
    edited(files[0], lambda state: state.update({"jacobian.weight": torch.zeros(2)}))
    message = refusal(*files, tmp_path)
    assert "kp_detector.pt" in message and "'jacobian.weight'" in message


def test_output_that_is_a_file(files, tmp_path):
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(InputError, match="taken"):
        convert(*files, tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "mine"
