"""Copies of a run in a bucket: what is copied, in which order, and what is refused."""

import sys

import pytest
from buckets import ADDRESS, empty_bucket

from experiments.training import mirror
from experiments.training.saving import SaveError, Saver
from gated_lift.networks import checkpoints


@pytest.fixture
def bucket():
    return empty_bucket()


def write_step(folder, step, text="weights"):
    """A complete step, as far as copying knows."""
    inner = folder / str(step) / "variables" / "d"
    inner.mkdir(parents=True)
    (inner / "part").write_text(f"{text} {step}")
    (folder / str(step) / "empty").write_text("")
    checkpoints.write_manifest(folder / f"{step}.sha256", checkpoints.hash_files(folder / str(step)))


def test_a_run_comes_back_from_its_mirror_whole(bucket, tmp_path):
    here, other = tmp_path / "here", tmp_path / "other"
    for step in (5, 10):
        write_step(here / "checkpoints", step)
    write_step(here / "best", 7)
    (here / "config.json").write_text("{}")
    (here / "lock").write_text("mine")
    assert mirror.newest_step(bucket) is None and mirror.pull(bucket, other) is None
    for folder, step in (("checkpoints", 5), ("checkpoints", 10), ("best", 7)):
        mirror.push(here / folder, step, bucket)
    assert mirror.newest_step(bucket) == 10
    assert mirror.pull(bucket, other) == 10
    for folder, step in (("checkpoints", 5), ("checkpoints", 10), ("best", 7)):
        checkpoints.verify(other / folder, step)
    assert (other / "config.json").read_text() == "{}" and not (other / "lock").exists()
    # What the disk has already is not copied again; what is older there than here would undo work.
    assert mirror.pull(bucket, here) is None
    (other / "checkpoints" / "10.sha256").unlink()
    with pytest.raises(
        ValueError, match=r"s3://bucket/run has step 10, output .*other step 5: give an empty"
    ):
        mirror.pull(bucket, other)


def test_steps_that_are_not_kept_leave_the_mirror_and_half_a_copy_is_no_step(bucket, tmp_path, monkeypatch):
    folder = tmp_path / "checkpoints"
    write_step(folder, 5)
    mirror.push(folder, 5, bucket)
    (folder / "5.sha256").unlink()
    write_step(folder, 10)
    copy = mirror._copy

    def breaks(source, target):
        if source.name == "10.sha256":
            raise RuntimeError("the network\nis gone")
        copy(source, target)

    monkeypatch.setattr(mirror, "_copy", breaks)
    with pytest.raises(OSError, match=r"s3://bucket/run could not be written \(the network is gone\)"):
        mirror.push(folder, 10, bucket)
    assert mirror.newest_step(bucket) == 5
    monkeypatch.undo()
    mirror.push(folder, 10, bucket)
    names = {path.name for path in (bucket / "checkpoints").iterdir()}
    assert names == {"10", "10.sha256"} and mirror.newest_step(bucket) == 10


def test_a_copy_that_fails_is_told_and_tried_again_with_the_next_save(bucket, tmp_path, monkeypatch):
    said = []
    saver = Saver(bucket, said.append)
    folder = tmp_path / "checkpoints"
    push = mirror.push

    def breaks(folder, step, mirror):
        if step != 2:
            raise OSError("no network")
        push(folder, step, mirror)

    monkeypatch.setattr(mirror, "push", breaks)
    for step in (1, 2):
        saver.begin(folder, step, {"params": {"weight": step}}, {"network": {}})
        saver._finish(folder)
    assert said == [f"step 1 is complete in {folder} but not copied: no network"]
    saver.finish()
    assert mirror.newest_step(bucket) == 2
    saver.begin(folder, 3, {"params": {"weight": 3}}, {"network": {}})
    with pytest.raises(SaveError, match=r"newest step of .* is not in the mirror \(no network\)"):
        saver.finish()
    assert checkpoints.newest_step(folder) == 3


@pytest.mark.parametrize("address", ["http://bucket/run", "hf://bucket/run", "gs:/bucket"])
def test_addresses_that_are_no_bucket_are_refused(address):
    with pytest.raises(ValueError, match=f"mirror {address}"):
        mirror.place(address)


def test_a_bucket_without_its_client_says_what_to_install(bucket, monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(ValueError, match=r"mirror gs://bucket/run .*gated-lift\[buckets\]"):
        mirror.place("gs://bucket/run")
    assert mirror.place(ADDRESS) == bucket
