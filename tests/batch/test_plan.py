"""Manifests are read from all formats, and every problem of every row is told before anything runs."""

from __future__ import annotations

import json

import pytest

from headgen.batch.make_manifest import manifest
from headgen.batch.manifest import read_rows
from headgen.batch.plan import check_manifest
from headgen.errors import InputError


def problems(plan):
    return {(p.row, p.column): p.text for bad in plan.bad for p in bad.problems}


def test_all_formats_say_the_same(table, tmp_path):
    """With a byte order mark, blank lines, quotes, spaces; lists and numbers in JSON and Parquet."""
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = table({"name": "a", "source": "face-0.png; face-1.png", "max-size": "96"})
    text = path.read_text().splitlines()
    path.write_text("\ufeff" + text[0] + "\n\n" + text[1].replace("face-0", " face-0") + "\n\n", "utf-8")
    row = {
        "kind": "reenact", "name": "a", "source": ["face-0.png", "face-1.png"], "driving": "driver-0.mp4",
        "max_size": 96, "calibrate": False, "text": None,
    }  # fmt: skip
    lines = path.with_name("m.jsonl")
    lines.write_text("\n" + json.dumps(row) + "\n")
    columns = path.with_name("m.parquet")
    parquet.write_table(pa.Table.from_pylist([row | {"multiplier": float("nan"), "max_size": 96.0}]), columns)
    jobs = [check_manifest(one).jobs[0] for one in (path, lines, columns)]
    assert [job.row for job in jobs] == [3, 2, 1]
    assert [job.name for job in jobs] == ["a"] * 3
    folder = str(path.parent)
    for job in jobs:
        assert job.inputs["source"] == (f"{folder}/face-0.png", f"{folder}/face-1.png")
        assert job.options == {"max_size": 96, "calibrate": False} and job.frames == 3
    digests = dict.fromkeys(jobs[0].files, "0")
    assert len({job.identity(digests) for job in jobs}) == 1


def test_every_problem_is_told_with_its_row_and_column(table):
    plan = check_manifest(
        table(
            {"name": "good"},
            {"name": "missing", "source": "face-0.png;nothing.png", "motion": "sideways"},
            {"name": "text", "driving": "text.mp4"},
            {"name": "swapped", "source": "driver-0.mp4", "driving": "face-0.png"},
            {"name": "../away"},
            {"name": "twice"},
            {"name": "TWICE"},
            {"kind": "dance", "name": "x"},
            {"name": "y", "multiplier": "9"},
            {"name": "z", "seed": "1.5"},
            {"name": "model", "model": "no-such-model"},
            {"name": "v", "speaker": "driver-0.mp4"},
            {"name": "no-driver", "driving": ""},
            {"name": "a.mp4", "calibrate": "perhaps"},
        )
    )
    assert [job.name for job in plan.jobs] == ["good"]
    told = problems(plan)
    assert "nothing.png: no such file" in told[3, "source"]
    assert "'sideways' is unknown; choose from relative, absolute" in told[3, "motion"]
    assert "not a video" in told[4, "driving"]
    assert "driver-0.mp4" in told[5, "source"] and "face-0.png: is a picture" in told[5, "driving"]
    assert "leads out" in told[6, "name"]
    assert "row 8" in told[7, "name"] and "row 7" in told[8, "name"]
    assert "choose from reenact, listen" in told[9, "kind"]
    assert "0 to 3" in told[10, "multiplier"]
    assert "whole number" in told[11, "seed"]
    assert "known are" in told[12, "model"]
    assert "no such option" in told[13, "speaker"]
    assert "is missing" in told[14, "driving"]
    assert "ending" in told[15, "name"] and "true or false" in told[15, "calibrate"]
    report = plan.report()
    for row in range(3, 16):
        assert f"row {row}" in report
    assert {bad.name for bad in plan.bad} >= {"missing", "row 6", "row 7", "row 8"}


def test_unknown_columns_and_unreadable_tables_stop_everything(table):
    with pytest.raises(InputError, match=r"'motoin'.*mean motion.*reenact has source, driving"):
        check_manifest(table({"motoin": "absolute"}))
    path = table({"name": "a"})
    with pytest.raises(InputError, match="no such file"):
        check_manifest(path.with_name("other.csv"))
    with pytest.raises(InputError, match=r"ends in \.csv"):
        check_manifest(path.with_name("face-0.png"))
    path.write_text(path.read_text().replace(",", ";"))
    with pytest.raises(InputError, match="not separated by commas"):
        check_manifest(path)
    path.write_text("kind,source\nreenact,a,b\n")
    with pytest.raises(InputError, match="row 2 has 3 cells"):
        check_manifest(path)
    path.write_text("kind,source\n")
    with pytest.raises(InputError, match="holds no row"):
        check_manifest(path)
    path.write_bytes(b"kind,source\nreenact,\xff\xfe.png\n")
    with pytest.raises(InputError, match="UTF-8"):
        check_manifest(path)


def test_names_that_are_not_given_stay_when_rows_move(table):
    first = check_manifest(table({"seed": "1"}, {"seed": "2"})).jobs
    second = check_manifest(table({"seed": "2"}, {"seed": "3"}, {"seed": "1"})).jobs
    assert first[0].name == second[2].name and first[1].name == second[0].name
    assert len({job.name for job in second}) == 3 and first[0].name.startswith("face-0-driver-0-")


def test_a_listener_is_checked_too(table, tmp_path):
    """Texts are read, and sound that ends within its head is no speaker."""
    (tmp_path / "in/cut.flac").write_bytes(b"fLaC")
    rows = {"kind": "listen", "source": "", "driving": "", "calibrate": "", "portrait": "face-0.png"}
    plan = check_manifest(
        table(
            rows | {"name": "a", "speaker": "driver-0.mp4", "text": "smiles", "takes": "2"},
            rows | {"name": "b", "speaker": "driver-0.mp4", "text": "qwerty uiop"},
            rows | {"name": "c", "speaker": "camera"},
            rows | {"name": "d", "speaker": "driver-0.mp4", "stream": "true"},
            rows | {"name": "a-2", "speaker": "driver-0.mp4"},
            rows | {"name": "e", "speaker": "cut.flac"},
        )
    )
    told = problems(plan)
    assert "nothing in it was understood" in told[3, "text"]
    assert "batch listens to files" in told[4, "speaker"]
    assert "cannot be given" in told[5, "stream"]
    assert "'a-2'" in told[6, "name"] or "row 2" in told[6, "name"]
    assert "cut.flac: is not a video that can be read" in told[7, "speaker"]
    assert not plan.jobs  # the second take of the first row would be the last row's


def test_manifests_are_made_from_folders(inputs, tmp_path):
    """All pairs, pairs of a name, and the same drawn ones for the same seed."""
    every = manifest(tmp_path / "all.csv", source=str(inputs / "face-0.png"), driving=str(inputs))
    assert every.rows == 7  # broken ones are found out by the check
    (tmp_path / "p" / "x").mkdir(parents=True)
    (tmp_path / "v" / "x").mkdir(parents=True)
    for name in ("a.png", "x/b.png", "c.png"):
        (tmp_path / "p" / name).write_bytes((inputs / "face-0.png").read_bytes())
    for name in ("a.mp4", "x/b.mp4", "d.mp4"):
        (tmp_path / "v" / name).write_bytes((inputs / "driver-0.mp4").read_bytes())
    folders = {"source": str(tmp_path / "p"), "driving": str(tmp_path / "v")}
    named = manifest(tmp_path / "m.jsonl", **folders, pairs="name", option=["max_size=96"])
    rows = [row for _, row in read_rows(str(named.path))]
    assert [row["name"] for row in rows] == ["a-a", "b-b"] and rows[0]["source"] == "p/a.png"
    assert {one.rsplit("/", 1)[1] for one in named.unmatched} == {"c.png", "d.mp4"}
    assert len(check_manifest(named.path).jobs) == 2
    drawn = [
        manifest(tmp_path / f"{k}.csv", **folders, pairs="random", count=4, seed=seed).path.read_text()
        for k, seed in enumerate((1, 1, 5))
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    with pytest.raises(InputError, match="reenact has no such option"):
        manifest(tmp_path / "m.csv", **folders, option=["steps=3"])
    with pytest.raises(InputError, match="there are 9 pairs"):
        manifest(tmp_path / "m.csv", **folders, pairs="random", count=10)
