"""The recipes of docs/extending.md, each followed once."""

import dataclasses
import io
import json
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import CLIP, TINY
from jaxtyping import Array
from rich.console import Console

from experiments.training import batches, loop, losses
from gated_lift.clips import MotionClip
from gated_lift.metrics import mpjpe
from gated_lift.networks import checkpoints, settings
from gated_lift.networks.protocol import Lifter, check_counts, lift_clip
from gated_lift.networks.settings import settings_of
from gated_lift.networks.windows import WindowLifter, average_windows, check_window
from gated_lift.occlusion import fill_gaps
from gated_lift.readers import detections, motion
from gated_lift.readers.detectors.layouts import skeleton_of
from gated_lift.readers.detectors.rows import Rows, as_numbers
from gated_lift.readers.detectors.source import Format, Options, Source
from gated_lift.skeleton import H36M_17, Skeleton, convert

# ----------------------------------------------------------------------------------------- keypoint format

# From the feet up, with no spine, thorax, neck or head of its own.
UPSIDE_DOWN = Skeleton(
    name="upside_down",
    names=(
        *("left_ankle", "right_ankle", "left_knee", "right_knee", "left_hip", "right_hip"),
        *("left_wrist", "right_wrist", "left_elbow", "right_elbow", "left_shoulder", "right_shoulder"),
        *("left_ear", "right_ear", "nose"),
    ),
    parents=(-1, 3, 0, 5, 2, 4, 8, 9, 10, 11, 4, 5, 14, 14, 10),
    left=(0, 2, 4, 6, 8, 10, 12),
    right=(1, 3, 5, 7, 9, 11, 13),
)


def test_a_keypoint_format():
    values = jnp.asarray(np.random.default_rng(0).normal(size=(4, 15, 2)), jnp.float32)
    occluded = jnp.zeros((4, 15), bool).at[2, UPSIDE_DOWN.names.index("left_hip")].set(True)
    found, hidden = convert(values, occluded, UPSIDE_DOWN, H36M_17)
    assert found.shape == (4, 17, 2)
    for name in ("left_wrist", "right_knee"):
        column = H36M_17.names.index(name)
        np.testing.assert_array_equal(found[:, column], values[:, UPSIDE_DOWN.names.index(name)])
    left, right = (values[:, UPSIDE_DOWN.names.index(f"{side}_hip")] for side in ("left", "right"))
    both = np.array([0, 1, 3])
    np.testing.assert_allclose(found[both, 0], (left + right)[both] / 2)
    # Where one of them is hidden, it is as far from the other as on the frames around.
    offset = ((left - right)[1] + (left - right)[3]) / 2
    np.testing.assert_allclose(found[2, 0], right[2] + offset / 2, rtol=1e-5)
    assert hidden[2, H36M_17.names.index("left_hip")] and hidden.sum() == 1


# ---------------------------------------------------------------------------------------- detector's file


def _recognise(source: Source) -> bool:
    return source.kind == "json" and isinstance(source.value, dict) and "upside_down" in source.value


def _read(source: Source, options: Options) -> Rows:
    found = as_numbers(source.value["upside_down"], str(source.path), (None, 15, 3))
    skeleton = skeleton_of(15, (UPSIDE_DOWN,), options.skeleton, source.path)
    return Rows(list(range(len(found))), found[..., :2], found[..., 2] / 100, None, skeleton)


def test_a_detectors_file(tmp_path, monkeypatch):
    monkeypatch.setitem(
        detections.FORMATS, "upside_down", Format("upside_down", "a file of people", _recognise, _read)
    )
    values = np.random.default_rng(0).uniform(50, 90, (3, 15, 3))
    values[1, 4] = 0
    path = tmp_path / "any.json"
    path.write_text(json.dumps({"upside_down": values.tolist()}))
    found = detections.read_detections(path, fps=25.0)
    assert found.format == "upside_down" and found.skeleton == UPSIDE_DOWN and found.num_frames == 3
    np.testing.assert_allclose(found.confidence, values[..., 2] / 100, rtol=1e-6)
    assert np.isnan(found.keypoints[1, 4]).all() and np.isfinite(found.keypoints).sum() == 3 * 15 * 2 - 2
    path.write_text(json.dumps({"upside_down": [[1, 2, 3]]}))
    with pytest.raises(ValueError, match=r"any\.json is not n × 15 × 3 numbers"):
        detections.read_detections(path)


# ------------------------------------------------------------------------------------- network and loss


class FlatLifter(WindowLifter, nn.Module):
    """One linear layer of a whole window."""

    window: int = 8
    channels: int = 16
    slide: int = 4
    num_joints: int = 17
    fps: float = 50.0

    @property
    def flip_averaging(self) -> bool:
        return True

    def check_settings(self) -> None:
        check_counts(self, "window", "channels", "slide")

    def lift_frames(
        self, variables: Any, keypoints: Array, occluded: Array, age: Array, length: Any = None
    ) -> Array:
        def lift(keypoints: Array, occluded: Array, age: Array) -> Array:
            return self.apply(variables, keypoints, occluded, age=age)

        weight = np.ones(self.window, np.float32)
        return average_windows(lift, keypoints, occluded, age, self.slide, weight, length)

    @nn.compact
    def __call__(self, keypoints: Array, occluded: Array, *, train: bool = False, age: Any = None) -> Array:
        check_window(keypoints, occluded, self.num_joints, self.window)
        if age is None:
            keypoints = fill_gaps(keypoints, occluded)
        flat = nn.relu(nn.Dense(self.channels)(keypoints.reshape(len(keypoints), -1)))
        poses = nn.Dense(self.window * self.num_joints * 3)(flat)
        poses = poses.reshape(len(keypoints), self.window, self.num_joints, 3)
        return poses - poses[:, :, :1]


def tenth_of_a_metre(poses, batch, mean):
    """Distances above 10 cm, squared distances below."""
    distance = mpjpe(poses, batch.target)
    error = jnp.where(distance < 0.1, distance**2 / 0.2 + 0.05, distance)
    return mean(error.mean(-1), batch.weight)


def test_a_network_and_a_loss(tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "KINDS", (*settings.KINDS, FlatLifter))
    monkeypatch.setitem(losses.LOSSES, "tenth", losses.Loss(tenth_of_a_metre))
    monkeypatch.setattr(loop, "read_motion", lambda config: (CLIP,))
    config = dataclasses.replace(
        TINY,
        network=settings_of(FlatLifter, channels=8),
        loss="tenth",
        chunk_frames=8,
        epochs=2,
        log_every=1,
        output=tmp_path,
    )
    assert isinstance(config.network.build(), Lifter)
    with jax.numpy_dtype_promotion("standard"):  # Optax mixes dtypes itself
        folder = loop.train(config, Console(file=io.StringIO()))
    log = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [1, 2] and log[0]["loss"] >= 0.05
    lifter, variables, *_ = checkpoints.load_lifter(folder)
    assert lifter == FlatLifter(channels=8)
    keypoints, occluded = jnp.ones((2, 21, 17, 2)), jnp.zeros((2, 21, 17), bool)
    assert lift_clip(lifter, variables, keypoints, occluded, H36M_17).shape == (2, 21, 17, 3)
    with pytest.raises(ValueError, match=r"chunk_frames is 7 .* give 8 and 1"):
        loop.check_settings(dataclasses.replace(config, chunk_frames=7))
    with pytest.raises(ValueError, match="channels is 0: give a whole number"):
        loop.check_settings(dataclasses.replace(config, network=config.network.replace(channels=0)))
    with pytest.raises(ValueError, match=r"loss is 'tenths': choose one of .*, tenth$"):
        loop.check_settings(dataclasses.replace(config, loss="tenths"))


# ----------------------------------------------------------------------------------------------- data set


def read_rows(path):
    """A JSON list of people, each a list of frames of 17 joints in centimetres."""
    people = np.array(json.loads(path.read_text()), np.float32) / 100
    return tuple(
        MotionClip(poses[None], 50.0, H36M_17, f"{path.stem}_{index}", path.stem, "walk", 0.0, "free for all")
        for index, poses in enumerate(people)
    )


def test_a_data_set(tmp_path, monkeypatch):
    monkeypatch.setitem(motion.READERS, ".rows.json", read_rows)
    path = tmp_path / "someone.rows.json"
    path.write_text(json.dumps((100 * CLIP.poses).tolist()))
    config = dataclasses.replace(TINY, data=(path,))
    clips = batches.read_motion(config)
    assert [clip.name for clip in clips] == ["someone.rows_0", "someone.rows_1"]
    np.testing.assert_allclose(clips[1].poses[0], CLIP.poses[1], atol=1e-6)
    assert len(batches.read_bank(config, clips).first) == 64
