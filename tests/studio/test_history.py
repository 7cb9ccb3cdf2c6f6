"""Jobs on disk: found again, kept to a size, deleted whole, and nobody else's."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("gradio", reason="the studio extra is not installed")

from headgen_studio.history import History
from headgen_studio.studio import Person, Studio

from headgen.errors import InputError


@pytest.fixture
def history(tmp_path):
    return History(tmp_path / "workspace", 10**9)


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"v" * 50_000)
    return path


def finished(history, clip, size=0, **options):
    """A job with a result of so many bytes."""
    job = history.create("reenact", options, {"driving": [clip]}, user="ann", work=3.0)
    (job.folder / "out.mp4").write_bytes(b"r" * size)
    job.state, job.outputs = "done", ["out.mp4"]
    history.save(job)
    return job


def test_jobs_are_found_again_as_they_were(history, clip):
    job = finished(history, clip, seed=7, motion="absolute")
    found = History(history.folder.parent, 10**9).load()
    assert found == [job]
    assert found[0].options == {"seed": 7, "motion": "absolute"}
    assert found[0].input_paths()["driving"][0].read_bytes() == clip.read_bytes()


def test_files_of_the_same_name_do_not_meet(history, tmp_path):
    paths = []
    for k in range(2):
        (tmp_path / str(k)).mkdir()
        paths.append(tmp_path / str(k) / "face.png")
        paths[k].write_bytes(bytes([k]))
    job = history.create("reenact", {}, {"source": paths})
    assert [path.read_bytes() for path in job.input_paths()["source"]] == [b"\0", b"\1"]
    assert [path.name for path in job.input_paths()["source"]] == ["face.png"] * 2


def test_the_oldest_go_when_it_is_full_and_the_newest_stays(history, clip):
    jobs = [finished(history, clip, 400_000, seed=k) for k in range(4)]
    waiting = history.create("reenact", {}, {"driving": [clip]})
    history.limit = 1_000_000
    assert history.make_room() == jobs[:2]
    assert history.load() == [*jobs[2:], waiting]
    assert history.dropped == 2
    history.limit = 10
    history.make_room()
    assert history.load() == [jobs[3], waiting], "what was made last is still there to be looked at"


def test_what_several_jobs_share_counts_once(history, clip):
    for k in range(5):
        finished(history, clip, seed=k)
    assert 50_000 <= history.size() < 70_000


def test_keys_lead_nowhere_else(history, clip, tmp_path):
    job = finished(history, clip)
    assert history.get(job.key) == job
    for key in ("..", "../jobs/" + job.key, "/etc", "", job.key + "/inputs"):
        assert history.get(key) is None


def test_folders_that_hold_no_job_are_left_alone(history, clip):
    (history.folder / "mine").mkdir()
    (history.folder / "broken").mkdir()
    (history.folder / "broken" / "job.json").write_text("{")
    job = finished(history, clip)
    assert history.load() == [job]
    assert (history.folder / "mine").is_dir()


def test_a_workspace_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file"):
        History(tmp_path / "file", 1)


def test_results_are_their_owners_and_links_end_with_them(tmp_path, clip):
    key = finished(History(tmp_path / "studio", 10**9), clip, 10).key
    studio = Studio(tmp_path / "studio")
    try:
        ann, bob = Person("ann", "1"), Person("bob", "2")
        job = studio.job(key, ann)
        links = [studio.link(job.output_paths()[0], who) for who in (ann, ann, bob)]
        assert links[0] == links[1] != links[2], "nobody finds another's by its name"
        with pytest.raises(InputError, match="no longer there"):
            studio.job(job.key, bob)
        with pytest.raises(InputError, match="no longer there"):
            studio.delete(job.key, bob)
        studio.delete(job.key, ann)
        assert not job.folder.exists()
        assert not list(studio.cache.glob("*/out.mp4"))
    finally:
        studio.close()


def test_a_link_follows_a_file_that_was_made_anew_and_ends_with_it(tmp_path):
    studio = Studio(tmp_path / "studio")
    try:
        ann, path = Person("ann", "1"), tmp_path / "results.zip"
        path.write_text("one")
        first = studio.link(path, ann)
        (tmp_path / "part").write_text("one and two")
        (tmp_path / "part").replace(path)
        second = studio.link(path, ann)
        assert Path(second).read_text() == "one and two" and not Path(first).exists()
        path.unlink()
        (tmp_path / "other").write_text("")
        studio.link(tmp_path / "other", ann)
        assert not Path(second).exists()  # what was deleted takes no room any more
    finally:
        studio.close()
