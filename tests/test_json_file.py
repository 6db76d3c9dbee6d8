"""The reader of JSON, and that no damage to any of the project's JSON files raises anything foreign."""

import json
import math

import human36m_files
import jax
import jax.numpy as jnp
import pytest
from lifter_oracle import random_variables

from experiments.fuzzing.damage import outcomes
from gated_lift.networks import checkpoints
from gated_lift.networks.temporal import TemporalLifter
from gated_lift.readers.human36m import read_cameras
from gated_lift.readers.json_file import MAX_DEPTH, parse_json, read_json, read_lines, read_object


def write(tmp_path, content):
    path = tmp_path / "file.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_values_are_read(tmp_path):
    held = {"a": [1, -2.5, True, None, "Ü"], "b": {"c": 2**63 - 1, "d": -(2**63)}}
    assert read_json(write(tmp_path, json.dumps(held)), "a", "b") == held
    assert read_json(write(tmp_path, json.dumps(held, ensure_ascii=False)), "a", "b") == held
    assert read_object(write(tmp_path, b"\xef\xbb\xbf{}"), "a", "b") == {}
    assert parse_json("[1]", "a", "b", "c") == [1]
    deep = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert json.dumps(read_json(write(tmp_path, deep), "a", "b")) == deep


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "Expecting value"),
        ('{"a": 1', "Expecting"),
        ("{} {}", "Extra data"),
        (b'{"a": "\xff"}', "its text is not UTF-8 at byte 7"),
        ("[" * 100_000, "nested deeper than 32"),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "nested deeper than 32"),
        ('{"a":' * 100_000, "nested deeper than 32"),
        ("[NaN]", "NaN is no finite number"),
        ("-Infinity", "-Infinity is no finite number"),
        ("[1e999]", "1e999 is no finite number"),
        (str(2**63), "is beyond 64 bits"),
        ("9" * 10_000, r"99999999999999999999\.\.\. is beyond 64 bits"),
        ("[" + "1," * 600 + "1]", "it has more than 1000 bytes"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, content, why):
    path = write(tmp_path, content)
    limit = 1000 if "1," in str(content) else 10**6
    with pytest.raises(ValueError, match=rf"file\.json is not a recipe \(.*{why}.*\): cook again") as caught:
        read_json(path, "a recipe", "cook again", max_bytes=limit)
    assert len(str(caught.value)) < 300


def test_other_numbers_are_read_where_asked_for(tmp_path):
    values = read_json(write(tmp_path, "[NaN, Infinity, -Infinity, 1e999]"), "a", "b", allow_nan=True)
    assert math.isnan(values[0]) and values[1:] == [math.inf, -math.inf, math.inf]


@pytest.mark.parametrize("value", ["[]", "3", "null", '"a"'])
def test_only_dictionaries_are_objects(tmp_path, value):
    with pytest.raises(ValueError, match=r"file\.json is not a recipe \(.* expected a dictionary\): cook"):
        read_object(write(tmp_path, value), "a recipe", "cook again")
    with pytest.raises(
        ValueError, match=r"file\.json, line 2, is not a log \(.* expected a dictionary\): cook"
    ):
        read_lines(write(tmp_path, '{"a": 1}\n' + value + "\n"), "a log", "cook again")


def test_lines_are_read_one_by_one(tmp_path):
    assert read_lines(write(tmp_path, ""), "a", "b") == []
    assert read_lines(write(tmp_path, '{"a": 1}\n{"a": 2}\r\n'), "a", "b") == [{"a": 1}, {"a": 2}]
    # A line that was being written when its program was stopped.
    assert read_lines(write(tmp_path, '{"a": 1}\n{"a": 2}'), "a", "b") == [{"a": 1}]
    # A line separator inside a string does not end a line.
    assert read_lines(write(tmp_path, '{"a": "x\u2028y"}\n'), "a", "b") == [{"a": "x\u2028y"}]
    with pytest.raises(ValueError, match=r"file\.json, line 2, is not a log \(Expecting value"):
        read_lines(write(tmp_path, '{"a": 1}\n\n{"a": 2}\n'), "a log", "write it again")


def test_missing_files_are_missing(tmp_path):
    for read in (read_json, read_object, read_lines):
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "nowhere.json", "a", "b")


def test_damaged_camera_files_are_read_or_refused(tmp_path):
    path = tmp_path / "cameras.json"
    text = json.dumps({"S1": human36m_files.camera_file()["S1"][:2]})
    assert outcomes(lambda: read_cameras(path), path, text, 400, path) == {"read", "refused"}


@pytest.fixture
def checkpoint(tmp_path):
    lifter = TemporalLifter("two_stream", 8, (3,), num_joints=5, dropout=0.1, fill="zero")
    inputs = jnp.ones((1, 3, 5, 2)), jnp.zeros((1, 3, 5), bool)
    variables = random_variables(jax.eval_shape(lambda: lifter.init(jax.random.key(0), *inputs)), 0)
    config = {"data": ["a.npz"], "output": "runs", "masks": {"ratio": [0.1, 0.5]}}
    description = {"network": checkpoints.describe_lifter(lifter), "licences": ["free"], "config": config}
    checkpoints.save(tmp_path, 1, variables, description)
    return tmp_path


def test_damaged_manifests_are_refused(checkpoint):
    path = checkpoint / "1.sha256"
    text = path.read_text()
    assert "refused" in outcomes(lambda: checkpoints.verify(checkpoint, 1), path, text, 300, checkpoint)


def test_damaged_descriptions_are_read_or_refused(checkpoint, monkeypatch):
    """Where the hashes agree, because they were taken of damaged text."""
    path = checkpoint / "1" / "description" / "metadata"
    text = path.read_text()
    monkeypatch.setattr(checkpoints, "verify", lambda directory, step: None)
    found = outcomes(lambda: checkpoints.load_lifter(checkpoint), path, text, 200, checkpoint)
    assert found == {"read", "refused"}
