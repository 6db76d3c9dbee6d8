"""A short form of `experiments.fuzzing`: every reader under damage, and what is told of one that fails."""

from pathlib import Path

import numpy as np
import pytest

from experiments.fuzzing import __main__ as fuzzing
from experiments.fuzzing.targets import TARGETS, Target


def test_every_reader_answers_damage_by_reading_or_by_name(tmp_path):
    config = fuzzing.FuzzConfig(cases=20 * len(TARGETS), invented=5 * len(TARGETS), output=tmp_path)
    assert fuzzing.run(config) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"fuzzing.md"}
    lines = (tmp_path / "fuzzing.md").read_text().splitlines()
    assert all(any(line.startswith(f"| {target.name} |") for line in lines) for target in TARGETS)


def unpickle(path):
    with path.open("rb") as file, np.load(file, allow_pickle=True) as arrays:
        arrays["keypoints"]


def write(folder):
    np.savez(folder / "file.npz", keypoints=np.zeros(3))
    return folder / "file.npz"


def tell(message):
    def read(path):
        raise ValueError(message.format(path=path))

    return read


@pytest.mark.parametrize(
    ("read", "kinds"),
    [
        (unpickle, {"read", "unpickled", "raised KeyError", "raised BadZipFile", "raised EOFError"}),
        (tell("{path} is damaged"), {"refused"}),
        (tell("a file is damaged"), {"refused, but not by name on one line"}),
        (tell("{path}\nis damaged"), {"refused, but not by name on one line"}),
    ],
)
def test_what_is_not_as_promised_is_told(read, kinds, tmp_path):
    target = Target("mine", write, read)
    found = {outcome.kind for _, _, outcome in fuzzing.cases(target, tmp_path, 60, 0)}
    assert found <= kinds | {kind for kind in found if kind.startswith("raised") and read is unpickle}
    assert (found & {"unpickled"}) if read is unpickle else found == kinds


def test_a_slow_reader_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(fuzzing, "SLOWEST", 0.0)
    path = write(tmp_path)
    assert fuzzing.judge(Target("slow", write, lambda path: None), path).kind == "took more than 0 s"


def test_unknown_readers_are_named(tmp_path):
    with pytest.raises(ValueError, match="targets xml are not known: choose from openpose, found, "):
        fuzzing.run(fuzzing.FuzzConfig(targets=("xml",), output=Path(tmp_path)))
