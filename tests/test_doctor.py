"""What the doctor finds."""

from __future__ import annotations

import hashlib

import yaml

from headgen import hub
from headgen.doctor import EXTRAS, doctor


def test_report_names_packages_device_precision_codecs_weights_and_extras(monkeypatch, tmp_path):
    monkeypatch.setenv("HEADGEN_HOME", str(tmp_path))
    text = str(doctor())
    for word in ("torch", "silero-vad", "device", "precision", "libx264", "fsrt-small", "train", "studio"):
        assert word in text
    for way in ("headgen weights convert", "headgen weights fetch ict-facekit"):
        assert way in text, "a missing model comes with the way to get it"


def test_missing_extra_comes_with_its_remedy(monkeypatch):
    monkeypatch.setitem(EXTRAS, "studio", ("the studio", ("a_module_that_is_not_there",)))
    report = doctor()
    finding = next(f for f in report.findings if f.section == "extras" and f.name == "studio")
    assert finding.state == "missing" and "pip install 'headgen[studio]'" in finding.text


def test_missing_weights_make_it_unhealthy(monkeypatch, tmp_path):
    (tmp_path / "manifest.yaml").write_text((hub.embedded_folder() / "manifest.yaml").read_text())
    monkeypatch.setattr(hub, "embedded_folder", lambda: tmp_path)
    report = doctor()
    assert not report.healthy and "not ready" in str(report)
    assert any(f.name == "fsrt-small" and f.state == "broken" for f in report.findings)


def test_the_verdict_names_commands_whose_default_models_are_here(monkeypatch, tmp_path):
    models = {}

    def embed(name):
        content = name.encode()
        (tmp_path / name / "part").mkdir(parents=True)
        (tmp_path / name / "part" / "model.safetensors").write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        file = {"path": "part/model.safetensors", "sha256": digest, "size": len(content)}
        models[name] = {"purpose": "tests", "licence": "none", "embedded": True, "files": [file]}
        text = yaml.safe_dump({"version": 1, "models": models})
        (tmp_path / f"{name}.yaml").write_text(text)
        monkeypatch.setattr(hub, "manifest", lambda: hub._read_manifest(tmp_path / f"{name}.yaml"))
        return doctor()

    monkeypatch.setattr(hub, "embedded_folder", lambda: tmp_path)
    assert embed("fsrt-small").ready == ("headgen reenact", "headgen edit-portrait")
    assert embed("listener-small").ready == ("headgen reenact", "headgen edit-portrait")
    report = embed("listener-edit")
    assert report.ready == ("headgen reenact", "headgen edit-portrait", "headgen listen")
    assert str(report).endswith("ready for: headgen reenact, headgen edit-portrait, headgen listen")
    (tmp_path / "fsrt-small" / "part" / "model.safetensors").write_bytes(b"")
    assert doctor().ready == ()
