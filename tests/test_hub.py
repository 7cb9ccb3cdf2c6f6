"""Where weights are found, and what is said when they are not."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import fsrt_parity
import pytest
import torch
import yaml

from headgen import hub
from headgen.errors import InputError, WeightsError
from headgen.fsrt.model import FSRT

CONTENT = {"config.json": b"{}", "model.safetensors": b"weights" * 1000}


def entry(folder, names=CONTENT, **fields):
    files = [
        {"path": name, "sha256": hashlib.sha256(CONTENT[name]).hexdigest(), "size": len(CONTENT[name])}
        for name in names
    ]
    return {"purpose": "tests", "licence": "Apache-2.0", "files": files, **fields}


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A folder of weights with one embedded, one to be fetched, and one to be converted."""
    server = tmp_path / "server"
    server.mkdir()
    folder = tmp_path / "weights"
    (folder / "small").mkdir(parents=True)
    for name, content in CONTENT.items():
        (folder / "small" / name).write_bytes(content)
        (server / name).write_bytes(content)
    models = {
        "small": entry(folder, embedded=True, quality={"motion_error": 0.2}),
        "big": entry(folder, url=server.as_uri()),
        "full": {"purpose": "tests", "licence": "theirs", "source": "run: headgen weights convert"},
    }
    (folder / "manifest.yaml").write_text(yaml.safe_dump({"version": 1, "models": models}, sort_keys=False))
    monkeypatch.setattr(hub, "embedded_folder", lambda: folder)
    monkeypatch.setenv("HEADGEN_HOME", str(tmp_path / "home"))
    return folder


def test_the_shipped_manifest_follows_its_schema():
    models = hub.manifest()
    assert {"fsrt-small", "fsrt-vox256"} <= set(models)
    for model in models.values():
        assert model.purpose and model.licence
        assert model.embedded or model.source or model.url
        for file in model.files:
            assert len(file.sha256) == 64 and file.size > 0
            assert not model.embedded or file.size <= 30e6


def test_embedded_weights_are_whole_and_small():
    for model in hub.manifest().values():
        if model.embedded:
            assert hub.resolve(model.name).folder.is_dir()
    assert sum(f.size for m in hub.manifest().values() if m.embedded for f in m.files) <= 150e6


def test_resolve_gives_folder_and_hashes(weights):
    found = hub.resolve("small")
    assert found.folder == weights / "small"
    assert found.sha256["model.safetensors"] == hashlib.sha256(CONTENT["model.safetensors"]).hexdigest()


def test_unknown_model_lists_the_known(weights):
    with pytest.raises(WeightsError, match="unknown model 'smal'; known are small, big, full"):
        hub.resolve("smal")


def test_missing_file_is_named(weights):
    (weights / "small" / "config.json").unlink()
    with pytest.raises(WeightsError, match=r"model small: .*config\.json is missing; install headgen again"):
        hub.resolve("small")


@pytest.mark.parametrize(("change", "words"), [(b"weightz", "wrong SHA-256"), (b"", "bytes instead of")])
def test_changed_file_is_named(weights, change, words):
    (weights / "small" / "model.safetensors").write_bytes(change + CONTENT["model.safetensors"][7:])
    with pytest.raises(WeightsError, match=rf"model\.safetensors .*{words}"):
        hub.resolve("small")


def test_weights_that_are_not_here_say_how_to_get_them(weights):
    with pytest.raises(WeightsError, match="headgen weights fetch big"):
        hub.resolve("big")
    with pytest.raises(WeightsError, match="headgen weights convert"):
        hub.resolve("full")


def test_a_folder_of_ones_own(weights, tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    with pytest.raises(WeightsError, match=r"no \.safetensors file"):
        hub.resolve(str(own))
    (own / "model.safetensors").write_bytes(b"mine")
    found = hub.resolve(str(own))
    assert found.folder == own
    assert found.sha256 == {"model.safetensors": hashlib.sha256(b"mine").hexdigest()}


def test_fetch_downloads_checks_and_is_done_once(weights):
    events = []
    assert "fetched" in hub.fetch("big", progress=events.append)
    assert hub.resolve("big").folder.is_relative_to(os.environ["HEADGEN_HOME"])
    assert events[-1].done == events[-1].total == sum(map(len, CONTENT.values()))
    assert "is here already" in hub.fetch("big")
    assert not list(hub.cache_folder().rglob("*.part"))


def test_fetch_refuses_another_file(weights, tmp_path):
    (tmp_path / "server" / "model.safetensors").write_bytes(b"something else")
    with pytest.raises(WeightsError, match="SHA-256 differs"):
        hub.fetch("big")
    assert not [path for path in hub.cache_folder().rglob("*") if "safetensors" in path.name]


def test_fetch_without_a_server(weights, tmp_path):
    (tmp_path / "server" / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match="cannot be downloaded"):
        hub.fetch("big")


def test_fetch_of_what_cannot_be_fetched(weights):
    with pytest.raises(WeightsError, match="cannot be fetched; run: headgen weights convert"):
        hub.fetch("full")
    assert "is here already" in hub.fetch("small")


def test_list_and_verify(weights):
    text = str(hub.list_models())
    assert "small  [ready]" in text and "full  [not installed]" in text and "motion_error 0.2" in text
    assert "small: all files are as they should be" in hub.verify()
    (weights / "small" / "config.json").write_bytes(b"[]")
    with pytest.raises(WeightsError, match="wrong SHA-256"):
        hub.verify()
    assert "wrong SHA-256" in str(hub.list_models())


@pytest.fixture
def official(tmp_path):
    """Key-point detector and checkpoint of a tiny network, as the official program's training writes them."""
    keys = json.loads((Path(__file__).parent / "fsrt" / "tiny_keys.json").read_text())
    return fsrt_parity.write_official(tmp_path, keys, "T")


def test_convert_writes_a_model_that_resolves_and_is_checked(weights, official):
    assert "full: converted to" in hub.convert(*official, name="full")
    found = hub.resolve("full")
    file = found.folder / "diffusion_pytorch_model.safetensors"
    assert set(found.sha256) == {"config.json", file.name}
    assert found.sha256[file.name] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert FSRT.from_pretrained(found.folder).config.num_keypoints == 4
    assert "full: all files are as they should be" in hub.verify()

    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(WeightsError, match="wrong SHA-256"):
        hub.resolve("full")
    hub.convert(*official, name="full")
    assert hub.resolve("full") == found


def test_failed_conversion_leaves_nothing(weights, official, tmp_path):
    detector, checkpoint = official
    with pytest.raises(WeightsError, match="not an official key-point detector"):
        hub.convert(checkpoint, detector, name="full")
    with pytest.raises(InputError, match="no such file"):
        hub.convert(tmp_path / "none.pt", checkpoint, name="full")
    state = torch.load(checkpoint, weights_only=False)
    del state["decoder"]["render_mlp.4.bias"]
    torch.save(state, checkpoint)
    with pytest.raises(WeightsError, match="the file is incomplete"):
        hub.convert(detector, checkpoint, name="full")
    assert not list(hub.cache_folder().glob("*"))


def test_convert_does_not_replace_embedded_weights(weights, official):
    with pytest.raises(WeightsError, match="is not made by conversion"):
        hub.convert(*official, name="small")
    assert {path.name: path.read_bytes() for path in (weights / "small").iterdir()} == CONTENT


@pytest.mark.parametrize(
    "text", ["version: 2\nmodels: {}", "models: [", "version: 1\nmodels: {a: {colour: red}}", "[]"]
)
def test_a_broken_manifest_says_so(tmp_path, text):
    path = tmp_path / "manifest.yaml"
    path.write_text(text)
    with pytest.raises(WeightsError, match="manifest.yaml"):
        hub.manifest(path)


def test_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("HEADGEN_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert hub.cache_folder() == tmp_path / "headgen" / "weights"
    monkeypatch.setenv("HEADGEN_HOME", str(tmp_path / "h"))
    assert hub.cache_folder() == tmp_path / "h" / "weights"
