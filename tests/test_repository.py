"""Weights in the layout of the Hugging Face Hub: written, read back, damaged; and names that are unknown."""

import json
import shutil

import jax
import numpy as np
import pytest
from test_checkpoints import DESCRIPTION, LIFTER, same, weights

from gated_lift import load_lifter
from gated_lift.networks import checkpoints
from gated_lift.networks.weights import SHIPPED

CARD = "---\nlicense: apache-2.0\n---\n# Small\n"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("repository")
    described = DESCRIPTION | {"config": {"output": "/home/me/run", "data": ["/home/me/walks.npz"]}}
    checkpoints.save(folder / "run", 7, weights(), described)
    return checkpoints.publish(folder / "run", folder / "hub", CARD)


def test_the_layout_is_that_of_the_hub(written):
    assert sorted(path.name for path in written.iterdir()) == [
        *("README.md", "config.json", "model.msgpack", "model.sha256")
    ]
    assert (written / "README.md").read_text() == CARD
    described = json.loads((written / "config.json").read_text())
    assert described["network"] == DESCRIPTION["network"] and described["licences"] == ["free"]
    assert described["config"] == {"data": ["walks.npz"]}


def test_weights_come_back_in_half_precision(written):
    loaded = load_lifter(written)
    assert loaded.network == LIFTER and loaded.step is None
    same(loaded.variables, jax.tree.map(lambda v: np.float32(np.float16(v)), weights()))
    assert load_lifter(str(written)).network == LIFTER
    with pytest.raises(ValueError, match=r"step is 3: .* one set of weights"):
        load_lifter(written, 3)


@pytest.mark.parametrize("name", ["config.json", "model.msgpack"])
def test_damage_is_named(written, tmp_path, name):
    folder = shutil.copytree(written, tmp_path / "hub")
    (folder / "README.md").write_text("edited on the Hub")
    assert load_lifter(folder).network == LIFTER
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(checkpoints.DamagedCheckpointError, match=f"the file {name} has changed"):
        load_lifter(folder)
    (folder / name).unlink()
    with pytest.raises(checkpoints.DamagedCheckpointError, match=f"the file {name} is missing"):
        load_lifter(folder)
    (folder / "model.sha256").unlink()
    (folder / "model.msgpack").touch()
    with pytest.raises(checkpoints.DamagedCheckpointError, match=r"no readable manifest \(model.sha256\)"):
        load_lifter(folder)


def test_weights_are_not_written_over(written, tmp_path):
    with pytest.raises(ValueError, match="holds weights already: choose an empty folder"):
        checkpoints.publish(written, written, CARD)


def test_weights_that_ship_are_known_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="there are no weights 'tiny': choose from") as told:
        load_lifter("tiny")
    assert "\n" not in str(told.value)
    for name in SHIPPED:
        line = checkpoints.summaries()[name]
        assert line in str(told.value)
        assert line.startswith(f"{name} (") and " MB, " in line and " frames at 50 a second)" in line
    # A folder that is there comes first, a path is no name.
    (tmp_path / "tiny").mkdir()
    for source in ("tiny", str(tmp_path / "nowhere")):
        with pytest.raises(ValueError, match="holds no complete step"):
            load_lifter(source)
