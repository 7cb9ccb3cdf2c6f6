"""What the doctor finds."""

from __future__ import annotations

from headgen import hub
from headgen.doctor import EXTRAS, doctor


def test_report_names_packages_device_precision_codecs_weights_and_extras(monkeypatch, tmp_path):
    monkeypatch.setenv("HEADGEN_HOME", str(tmp_path))
    text = str(doctor())
    for word in ("torch", "device", "precision", "libx264", "fsrt-small", "fsrt-vox256", "train", "studio"):
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
