"""Where weights are found, and what is said when they are not."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import fsrt_parity
import numpy as np
import pytest
import torch
import yaml
from diffusers import FlowMatchEulerDiscreteScheduler

from headgen import hub
from headgen.errors import InputError, WeightsError
from headgen.fsrt.model import FSRT
from headgen.listener.latents import WarpCodec

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
        assert model.embedded or model.source or model.url or model.archive
        for file in model.files:
            assert len(file.sha256) == 64 and file.size > 0
        assert not model.embedded or sum(file.size for file in model.files) <= 30e6


def test_embedded_weights_are_whole_and_small():
    for model in hub.manifest().values():
        if model.embedded:
            found = hub.resolve(model.name)
            there = {p.relative_to(found.folder).as_posix() for p in found.folder.rglob("*") if p.is_file()}
            assert there == {*found.sha256, "README.md"}, "every file is checked, and there is a model card"
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
    (own / "config.json").write_bytes(b"{}")
    assert set(hub.resolve(str(own)).sha256) == {"model.safetensors", "config.json"}, "another model"


@pytest.fixture
def pipeline(weights, tmp_path):
    """A model of several parts: a listener with one part left out, and a manifest that names its files."""
    folder = weights / "listener"
    WarpCodec().save_pretrained(folder / "codec")
    FlowMatchEulerDiscreteScheduler(shift=3.0).save_pretrained(folder / "scheduler")
    (folder / "README.md").write_text("The model card is no part of the model.")
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".json", ".safetensors")
    }
    listed = [
        {"path": name, "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
        for name, content in files.items()
    ]
    server = tmp_path / "server" / "listener"
    shutil.copytree(folder, server)
    models = yaml.safe_load((weights / "manifest.yaml").read_text())["models"]
    models["listener"] = {"purpose": "tests", "licence": "Apache-2.0", "files": listed, "embedded": True}
    models["afar"] = {**models["listener"], "embedded": False, "url": server.as_uri()}
    (weights / "manifest.yaml").write_text(yaml.safe_dump({"version": 1, "models": models}, sort_keys=False))
    return files


def test_a_model_of_several_parts_is_resolved_and_checked(weights, pipeline):
    found = hub.resolve("listener")
    assert set(found.sha256) == set(pipeline) == {
        "codec/config.json", "codec/diffusion_pytorch_model.safetensors", "scheduler/scheduler_config.json"
    }  # fmt: skip
    assert found.sha256["codec/config.json"] == hashlib.sha256(pipeline["codec/config.json"]).hexdigest()
    assert hub.resolve(str(found.folder)) == found, "a folder of one's own counts the same files"
    assert WarpCodec.from_pretrained(found.folder / "codec").frames_per_latent == 4
    assert "listener  [ready]" in str(hub.list_models())

    config = found.folder / "codec" / "config.json"
    config.write_bytes(config.read_bytes().replace(b"4", b"5"))
    with pytest.raises(
        WeightsError, match=r"codec.config\.json has the wrong SHA-256; install headgen again"
    ):
        hub.verify("listener")


def test_a_model_of_several_parts_is_fetched_whole(weights, pipeline):
    hub.fetch("afar")
    found = hub.resolve("afar")
    assert {name: (found.folder / name).read_bytes() for name in found.sha256} == pipeline


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
    with pytest.raises(WeightsError, match="is not made from checkpoints"):
        hub.convert(*official, name="small")
    assert {path.name: path.read_bytes() for path in (weights / "small").iterdir()} == CONTENT


MESH = "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nusemtl M_Face\nf 1/1 2/2 3/3\n"
MESHES = ("identity000", "jawOpen")


@pytest.fixture
def meshes(weights, tmp_path):
    """A zip such as the authors of the ICT face model offer, and a manifest that names it."""
    packed = tmp_path / "server" / "commit.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("README.md", *(f"FaceXModel/{n}.obj" for n in MESHES)):
            archive.writestr(f"ICT-FaceKit-1234567/{name}", MESH.replace("v 1 0 0", "v 2 0 0"))
        archive.writestr("ICT-FaceKit-1234567/FaceXModel/generic_neutral_mesh.obj", MESH)
    content = yaml.safe_load((weights / "manifest.yaml").read_text())
    content["models"]["ict-facekit"] = {"purpose": "tests", "licence": "MIT", "archive": packed.as_uri()}
    (weights / "manifest.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return packed


def test_an_archive_is_fetched_converted_and_checked(weights, meshes):
    events = []
    assert "fetched to" in hub.fetch("ict-facekit", progress=events.append)
    assert [(e.stage, e.unit, e.done, e.total) for e in events] == [
        ("fetch", "bytes", meshes.stat().st_size, meshes.stat().st_size),
        ("convert", "meshes", 1, 2),
        ("convert", "meshes", 2, 2),
    ]
    found = hub.resolve("ict-facekit")
    file = found.folder / "ict_facekit.npz"
    assert found.sha256 == {"ict_facekit.npz": hashlib.sha256(file.read_bytes()).hexdigest()}
    with np.load(file) as data:
        assert data["identity"][0].tolist() == [[0, 0, 0], [1, 0, 0], [0, 0, 0]]
    record = json.loads((found.folder / "files.json").read_text())
    assert record["converted_from"] == {meshes.as_uri(): hashlib.sha256(meshes.read_bytes()).hexdigest()}
    assert [path.name for path in hub.cache_folder().iterdir()] == ["ict-facekit"]
    assert "is here already" in hub.fetch("ict-facekit")
    assert "ict-facekit: all files are as they should be" in hub.verify()
    assert "ict-facekit  [ready]" in str(hub.list_models())

    file.write_bytes(b"damaged")
    with pytest.raises(WeightsError, match="run: headgen weights fetch ict-facekit"):
        hub.verify()
    hub.fetch("ict-facekit")
    assert hub.resolve("ict-facekit") == found


def test_an_archive_or_folder_of_ones_own_needs_no_network(weights, meshes, tmp_path):
    own = meshes.rename(tmp_path / "own.zip")
    hub.fetch("ict-facekit", archive=own)
    found = hub.resolve("ict-facekit")
    assert own.is_file(), "what the user has got stays"
    with zipfile.ZipFile(own) as archive:
        archive.extractall(tmp_path / "checkout")
    shutil.rmtree(found.folder)
    hub.fetch("ict-facekit", archive=tmp_path / "checkout" / "ICT-FaceKit-1234567")
    assert hub.resolve("ict-facekit") == found


def nothing_left():
    return not hub.cache_folder().exists() or not list(hub.cache_folder().iterdir())


def test_archives_that_will_not_do_are_named_and_nothing_is_left(weights, meshes, tmp_path, monkeypatch):
    content = meshes.read_bytes()
    meshes.write_bytes(content[: len(content) // 2])
    with pytest.raises(WeightsError, match=r"commit\.zip: is not a whole zip archive .*--archive FILE"):
        hub.fetch("ict-facekit")
    with pytest.raises(WeightsError, match=r"commit\.zip: is not a whole zip archive .*get it again from"):
        hub.fetch("ict-facekit", archive=meshes)
    meshes.unlink()
    with pytest.raises(WeightsError, match=r"commit\.zip: cannot be downloaded .*--archive FILE"):
        hub.fetch("ict-facekit")
    with pytest.raises(InputError, match=r"none\.zip: no such file; give the zip of file:"):
        hub.fetch("ict-facekit", archive=tmp_path / "none.zip")
    with pytest.raises(InputError, match="small: holds no generic_neutral_mesh"):
        hub.fetch("ict-facekit", archive=weights / "small")
    with pytest.raises(WeightsError, match="model full: is not made from an archive; run: headgen"):
        hub.fetch("full", archive=weights)
    meshes.write_bytes(content)
    with monkeypatch.context() as patch:
        patch.setattr(hub, "_UNPACKED_LIMIT", 100)
        with pytest.raises(WeightsError, match=r"commit\.zip: unpacks to .* more than any model"):
            hub.fetch("ict-facekit")
    assert nothing_left()


@pytest.mark.parametrize("stage", ["fetch", "convert"])
def test_a_stopped_fetch_leaves_nothing(weights, meshes, stage):
    def stop(event):
        if event.stage == stage:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hub.fetch("ict-facekit", progress=stop)
    assert nothing_left()
    assert "fetched" in hub.fetch("ict-facekit")


def test_nothing_in_an_archive_reaches_another_place(weights, meshes, tmp_path):
    with zipfile.ZipFile(meshes, "a") as archive:
        archive.writestr("../../escaped.obj", MESH)
        archive.writestr(str(tmp_path / "absolute.obj"), MESH)
        link = zipfile.ZipInfo("ICT-FaceKit-1234567/FaceXModel/smile.obj")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(InputError, match=r"smile\.obj: holds no vertices"):
        hub.fetch("ict-facekit")
    assert nothing_left() and not list(tmp_path.rglob("escaped.obj")) + list(tmp_path.rglob("absolute.obj"))


class Dropping(BaseHTTPRequestHandler):
    """Promises more bytes than it sends."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"x" * 100)

    def log_message(self, *_):
        pass


def test_a_download_that_is_cut_off_says_so(weights, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = HTTPServer(("127.0.0.1", 0), Dropping)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        path = weights / "manifest.yaml"
        address = f"http://127.0.0.1:{server.server_port}"
        models = {
            "big": entry(weights, url=address),
            "ict-facekit": {"purpose": "tests", "licence": "MIT", "archive": f"{address}/a.zip"},
        }
        path.write_text(yaml.safe_dump({"version": 1, "models": models}))
        for name in models:
            with pytest.raises(WeightsError, match=r"127.* \(cut off after 100 of 1000 bytes\).* try again"):
                hub.fetch(name)
    finally:
        server.shutdown()
        server.server_close()
    assert not [path for path in hub.cache_folder().rglob("*") if path.is_file()]


def test_every_archive_of_the_shipped_manifest_has_a_converter():
    assert {model.name for model in hub.manifest().values() if model.archive} == set(hub._CONVERTERS)


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
