"""What outputs say about themselves."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import headgen
from headgen.media.provenance import STATEMENT, container_metadata, write_run_record


def test_metadata_says_that_it_is_generated():
    text = container_metadata("fsrt-small")
    assert "AI-generated" in text["title"] and STATEMENT in text["comment"]
    assert headgen.__version__ in text["comment"] and "fsrt-small" in text["comment"]


def test_run_record_holds_all_that_made_the_output(tmp_path):
    output, source, driving = tmp_path / "out.mp4", tmp_path / "a.jpg", tmp_path / "d.mp4"
    for path in (output, source, driving):
        path.write_bytes(path.name.encode())
    path = write_run_record(
        output,
        command="reenact",
        model="fsrt-small",
        inputs={"source": [source], "driving": [driving]},
        weights={"model.safetensors": "00ff"},
        options={"motion": "relative", "output": Path("out.mp4")},
        seed=7,
    )
    assert path == tmp_path / "out.mp4.json"
    record = json.loads(path.read_text())
    assert record["statement"] == STATEMENT
    assert record["inputs"]["source"] == [{"file": "a.jpg", "sha256": hashlib.sha256(b"a.jpg").hexdigest()}]
    assert record["output"]["sha256"] == hashlib.sha256(b"out.mp4").hexdigest()
    assert record["weights"] == {"model.safetensors": "00ff"}
    assert record["options"] == {"motion": "relative", "output": "out.mp4"}
    assert record["seed"] == 7 and record["versions"]["headgen"] and record["versions"]["torch"]
    assert not list(tmp_path.glob("*.part"))
