"""No damage to a file of keypoints raises anything but a ValueError that names the file, on one line."""

import json

import numpy as np
import pytest

from experiments.fuzzing import samples as files
from experiments.fuzzing.damage import damaged, replaced
from gated_lift.readers.detections import read_detections
from gated_lift.skeleton import COCO_17


def outcome(path, format, what):
    """Whether the file was read; ``what`` was done to it is for the message."""
    try:
        read_detections(path, format=format, image_size=files.SIZE, allow_pickle=True)
    except ValueError as error:
        message = str(error)
        assert str(path) in message and "\n" not in message and len(message) < 800, f"{what}: {message}"
        return "refused"
    except Exception as error:
        raise AssertionError(f"{what}: {error!r}") from error
    return "read"


def least(text):
    """The least of a sample that is a file of its format still: more of the damage hits what matters then."""
    if not text.startswith("["):
        return text if text.startswith("{") else "\n".join(text.splitlines()[:7])
    return json.dumps(json.loads(text)[:1])


@pytest.mark.parametrize("name", files.TEXTS)
def test_damage_is_read_or_refused_by_name(tmp_path, name):
    """Bits, cuts, doublings, and values of other kinds in otherwise whole files."""
    path = files.TEXTS[name](tmp_path / "file_0.json")
    text = least(path.read_text())
    outcomes = set()
    for seed in range(50):
        path.write_bytes(damaged(text, seed))
        outcomes |= {outcome(path, format, f"seed {seed}, format {format}") for format in (None, name)}
        path.write_bytes(replaced(text.encode(), np.random.default_rng(seed)))
        outcomes.add(outcome(path, name, f"replaced, seed {seed}"))
    assert outcomes == {"read", "refused"}


@pytest.mark.parametrize("name", ["npz", "rtmlib", "mediapipe", "videopose3d"])
def test_damaged_archives_are_read_or_refused_by_name(tmp_path, name):
    path = tmp_path / "file.npz"
    if name == "videopose3d":
        files.videopose3d(path)
    elif name == "rtmlib":
        files.rtmlib_npz(path)
    elif name == "mediapipe":
        np.savez(path, landmarks=files.landmarks()[:1])
    else:
        np.savez(path, keypoints=files.people(COCO_17)[:1], skeleton="coco_17", fps=25)
    data = path.read_bytes()
    outcomes = set()
    for seed in range(60):
        rng = np.random.default_rng(seed)
        broken = bytearray(data[: int(rng.integers(1, len(data)))] if seed % 5 == 0 else data)
        for _ in range(2):
            broken[int(rng.integers(len(broken)))] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(broken))
        outcomes |= {outcome(path, format, f"seed {seed}, format {format}") for format in (None, name)}
    assert "refused" in outcomes
