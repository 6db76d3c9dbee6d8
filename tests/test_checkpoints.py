"""Round trips, interrupted saves, damaged files, and checkpoints for something else."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from lifter_oracle import random_variables

from gated_lift.networks import checkpoints
from gated_lift.networks.attention import AttentionLifter
from gated_lift.networks.factorized import FactorizedLifter
from gated_lift.networks.sequence import SequenceLifter
from gated_lift.networks.temporal import TemporalLifter
from gated_lift.networks.weights import PLAIN

LIFTER = TemporalLifter("two_stream", 8, (3,), num_joints=5, dropout=0.1, fill="zero")
KEYPOINTS, OCCLUDED = jnp.ones((1, 3, 5, 2)), jnp.zeros((1, 3, 5), bool)
DESCRIPTION = {"network": checkpoints.describe_lifter(LIFTER), "licences": ["free"]}
OPTIMIZER = optax.amsgrad(1e-3)


def weights(seed=0, lifter=LIFTER):
    return random_variables(jax.eval_shape(lambda: lifter.init(jax.random.key(0), KEYPOINTS, OCCLUDED)), seed)


def moments(seed=0):
    """An optimiser state without a zero in it, its integer counter included."""
    rng = np.random.default_rng(seed)
    state = OPTIMIZER.init(weights()["params"])
    return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape) * 99, leaf.dtype), state)


def same(first, second):
    assert jax.tree.structure(first) == jax.tree.structure(second)
    for one, two in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        assert one.dtype == two.dtype
        np.testing.assert_array_equal(one, two)


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_weights_come_back_bit_for_bit(tmp_path):
    assert checkpoints.save(tmp_path, 7, weights(), DESCRIPTION) == tmp_path / "7"
    loaded = checkpoints.load_lifter(tmp_path)
    same(loaded.variables, weights())
    assert loaded.description == DESCRIPTION
    assert checkpoints.describe_lifter(loaded.network) == checkpoints.describe_lifter(LIFTER)
    assert loaded.network == LIFTER
    np.testing.assert_array_equal(
        loaded.network.apply(loaded.variables, KEYPOINTS, OCCLUDED),
        LIFTER.apply(weights(), KEYPOINTS, OCCLUDED),
    )


def test_weights_are_read_once_and_may_be_donated(tmp_path, monkeypatch):
    """Reading them again would keep memory each time; but every caller has arrays of their own."""
    checkpoints.save(tmp_path, 7, weights(), DESCRIPTION)
    first = checkpoints.load_lifter(tmp_path)
    monkeypatch.setattr(checkpoints, "_manager", lambda directory: pytest.fail("the arrays were read again"))
    for leaf in jax.tree.leaves(first.variables):
        leaf.delete()
    same(checkpoints.load_lifter(tmp_path).variables, weights())


def test_other_weights_have_another_fingerprint(tmp_path):
    for name, seed in (("a", 0), ("b", 1)):
        checkpoints.save(tmp_path / name, 7, weights(seed), DESCRIPTION)
    shutil.copytree(tmp_path / "a", tmp_path / "copy")
    first, second, copied = (checkpoints.fingerprint(tmp_path / name) for name in ("a", "b", "copy"))
    assert first == copied != second and len(first) == 64
    with pytest.raises(ValueError, match="holds no complete step"):
        checkpoints.fingerprint(tmp_path / "nothing")


@pytest.mark.parametrize(
    "lifter",
    [
        SequenceLifter(channels=4, window=2, num_joints=5, dropout=0.3),
        FactorizedLifter(4, 2, 3, 5, slide=2, num_joints=5, feature_dropout=0.1, hidden_dropout=0.2),
        AttentionLifter(4, 2, 6, heads=3, depth=1, dropout=0.1, slide=2, num_joints=5),
        LIFTER.clone(gating="none", target="root"),
    ],
    ids=lambda lifter: type(lifter).__name__,
)
def test_every_kind_of_network_comes_back(lifter, tmp_path):
    frames = lifter.receptive_field
    inputs = jnp.ones((1, frames, 5, 2)), jnp.zeros((1, frames, 5), bool)
    variables = random_variables(jax.eval_shape(lambda: lifter.init(jax.random.key(0), *inputs)), 0)
    description = {"network": checkpoints.describe_lifter(lifter)}
    checkpoints.save(tmp_path, 7, variables, description, moments())
    loaded = checkpoints.load_lifter(tmp_path)
    assert loaded.network == lifter and loaded.description == description
    same(loaded.variables, variables)
    with pytest.raises(ValueError, match=f"kind is '{type(lifter).__name__}' there|target is 'root' there"):
        checkpoints.restore_training(tmp_path, LIFTER.clone(gating="none"), moments())


def test_checkpoints_older_than_a_setting_have_its_default(tmp_path):
    network = {
        name: value for name, value in DESCRIPTION["network"].items() if name not in ("kind", "target")
    }
    checkpoints.save(tmp_path, 7, weights(), {"network": network}, moments())
    assert checkpoints.load_lifter(tmp_path).network == LIFTER
    same(checkpoints.restore_training(tmp_path, LIFTER, moments(1))[2], moments())
    # Such are the weights that ship.
    loaded = checkpoints.load_lifter(PLAIN)
    assert "kind" not in loaded.description["network"]
    assert (loaded.network.gating, loaded.network.target) == ("none", "pose")


def test_training_comes_back_bit_for_bit(tmp_path):
    checkpoints.save(tmp_path, 7, weights(), DESCRIPTION, moments())
    step, variables, optimizer = checkpoints.restore_training(tmp_path, LIFTER, moments(1))
    assert step == 7
    same(variables, weights())
    same(optimizer, moments())
    # Shapes alone say what to restore.
    abstract = jax.eval_shape(moments)
    same(checkpoints.restore_training(tmp_path, LIFTER, abstract)[2], moments())


def test_the_newest_step_is_taken_and_old_ones_go(tmp_path):
    for step in (5, 20, 100):
        checkpoints.save(tmp_path, step, weights(step), DESCRIPTION, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["100", "100.sha256", "20", "20.sha256"]
    assert checkpoints.newest_step(tmp_path) == 100
    same(checkpoints.load_lifter(tmp_path).variables, weights(100))
    same(checkpoints.load_lifter(tmp_path, 20).variables, weights(20))
    with pytest.raises(ValueError, match="holds no complete step"):
        checkpoints.load_lifter(tmp_path, 5)


def test_relative_folders_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkpoints.save(tmp_path.__class__("run"), 1, weights(), DESCRIPTION)
    same(checkpoints.load_lifter(tmp_path.__class__("run")).variables, weights())


def test_an_interrupted_save_is_skipped(tmp_path):
    checkpoints.save(tmp_path, 1, weights(1), DESCRIPTION)
    checkpoints.save(tmp_path, 2, weights(2), DESCRIPTION)
    (tmp_path / "2.sha256").unlink()
    assert checkpoints.newest_step(tmp_path) == 1
    loaded = said(lambda: checkpoints.load_lifter(tmp_path), taken=1, newer=2)
    assert loaded.step == 1
    same(loaded.variables, weights(1))
    # Asked for by its number, it is what was wanted.
    assert checkpoints.load_lifter(tmp_path, 1).step == 1
    with pytest.raises(ValueError, match=r"2 has no readable manifest \(2.sha256\): it was interrupted"):
        checkpoints.load_lifter(tmp_path, 2)


def said(load, taken, newer):
    """What a load gives, and that it says which step it took instead of a newer one."""
    words = f"step {taken} is taken, since the newer step {newer} .* \\({newer}.sha256\\).* give step={taken}"
    with pytest.warns(checkpoints.IncompleteCheckpointWarning, match=words) as caught:
        found = load()
    assert len(caught) == 1
    return found


@pytest.mark.parametrize("left", ["9", "9.sha256", "9.partial", "9.orbax-checkpoint-tmp"])
def test_whatever_is_left_of_a_newer_step_is_said(tmp_path, left):
    checkpoints.save(tmp_path, 5, weights(), DESCRIPTION, moments())
    (tmp_path / left).mkdir()
    said(lambda: checkpoints.load_lifter(tmp_path), taken=5, newer=9)
    assert said(lambda: checkpoints.restore_training(tmp_path, LIFTER, moments()), 5, 9)[0] == 5
    (tmp_path / left).rename(tmp_path / left.replace("9", "4"))  # older: of no interest
    (tmp_path / "²").mkdir()
    assert checkpoints.load_lifter(tmp_path).step == 5


@pytest.mark.parametrize("step", [2, 3, 4])
def test_an_interrupted_save_does_not_stand_in_the_way(tmp_path, step):
    checkpoints.save(tmp_path, 1, weights(1), DESCRIPTION)
    checkpoints.save(tmp_path, 3, weights(3), DESCRIPTION)
    (tmp_path / "3.sha256").unlink()
    shutil.copytree(tmp_path / "3", tmp_path / "3.orbax-checkpoint-tmp")
    (tmp_path / "3.partial").write_text("{")
    checkpoints.save(tmp_path, step, weights(step + 10), DESCRIPTION)
    assert checkpoints.newest_step(tmp_path) == step
    same(checkpoints.load_lifter(tmp_path).variables, weights(step + 10))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "1.sha256", f"{step}", f"{step}.sha256"]


def test_the_last_complete_step_outlives_a_failing_save(tmp_path, monkeypatch):
    checkpoints.save(tmp_path, 1, weights(1), DESCRIPTION, keep=1)

    def fail(folder):
        raise OSError("no space left on device")

    monkeypatch.setattr(checkpoints, "hash_files", fail)
    with pytest.raises(OSError, match="no space"):
        checkpoints.save(tmp_path, 2, weights(2), DESCRIPTION, keep=1)
    monkeypatch.undo()
    assert checkpoints.newest_step(tmp_path) == 1
    same(said(lambda: checkpoints.load_lifter(tmp_path), taken=1, newer=2).variables, weights(1))


def test_a_save_that_orbax_refuses_is_not_silent(tmp_path, monkeypatch):
    monkeypatch.setattr(ocp.CheckpointManager, "save", lambda *args, **kwargs: False)
    with pytest.raises(RuntimeError, match="did not save step 3"):
        checkpoints.save(tmp_path, 3, weights(), DESCRIPTION)
    assert checkpoints.newest_step(tmp_path) is None


def test_finished_steps_are_never_written_over(tmp_path):
    checkpoints.save(tmp_path, 5, weights(1), DESCRIPTION)
    for step in (5, 4):
        with pytest.raises(
            ValueError, match=f"step {step} does not come after step 5, .* choose an empty folder"
        ):
            checkpoints.save(tmp_path, step, weights(2), DESCRIPTION)
    same(checkpoints.load_lifter(tmp_path).variables, weights(1))


def test_other_files_in_the_folder_are_left_alone(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "README.md").write_text("mine")
    checkpoints.save(tmp_path, 1, weights(), DESCRIPTION)
    assert (tmp_path / "notes").is_dir() and (tmp_path / "README.md").read_text() == "mine"


def test_bad_settings_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="keep is 0"):
        checkpoints.save(tmp_path, 1, weights(), DESCRIPTION, keep=0)
    with pytest.raises(TypeError, match="not JSON serializable"):
        checkpoints.save(tmp_path, 1, weights(), {"network": LIFTER})
    assert not list(tmp_path.iterdir())


def test_a_flipped_bit_is_caught_in_every_file(tmp_path):
    checkpoints.save(tmp_path, 1, weights(), DESCRIPTION, moments())
    paths = files(tmp_path / "1")
    assert len(paths) > 5
    rng = np.random.default_rng(0)
    for path in paths:
        content = path.read_bytes()
        if not content:
            continue
        broken = bytearray(content)
        broken[rng.integers(len(broken))] ^= 1 << int(rng.integers(8))
        path.write_bytes(broken)
        with pytest.raises(ValueError, match="has changed since it was saved; the weights cannot be trusted"):
            checkpoints.verify(tmp_path, 1)
        path.write_bytes(content)
    checkpoints.verify(tmp_path, 1)


def test_loading_verifies(tmp_path):
    checkpoints.save(tmp_path, 1, weights(), DESCRIPTION, moments())
    path = max(files(tmp_path / "1"), key=lambda path: path.stat().st_size)
    path.write_bytes(path.read_bytes()[:-1])
    name = path.relative_to(tmp_path / "1").as_posix()
    with pytest.raises(ValueError, match=f"the file {name} has changed"):
        checkpoints.load_lifter(tmp_path)
    with pytest.raises(ValueError, match=f"the file {name} has changed"):
        checkpoints.restore_training(tmp_path, LIFTER, moments())
    with pytest.raises(ValueError, match=f"the file {name} has changed"):
        checkpoints.export(tmp_path, tmp_path / "shipped")


def test_arrays_may_be_donated_while_they_are_saved(tmp_path):
    state = (weights(), moments())
    advance = jax.jit(lambda tree: jax.tree.map(lambda leaf: leaf * 0 + 7, tree), donate_argnums=0)
    with jax.numpy_dtype_promotion("standard"):
        saving = checkpoints.begin_save(tmp_path, 7, state[0], DESCRIPTION, state[1])
        jax.block_until_ready(advance(state))
    assert saving.result() == tmp_path / "7"
    _, variables, optimizer = checkpoints.restore_training(tmp_path, LIFTER, moments(1))
    same(variables, weights())
    same(optimizer, moments())


def test_damaged_steps_are_set_aside(tmp_path):
    for step in (5, 6, 7):
        checkpoints.save(tmp_path, step, weights(step), DESCRIPTION, keep=3)
    assert checkpoints.set_aside_damaged(tmp_path) == []
    for step in (6, 7):
        (tmp_path / str(step) / "extra").write_text("")
    (tmp_path / "damaged-7").mkdir()
    told = checkpoints.set_aside_damaged(tmp_path)
    assert [
        f"/{step}: the file extra was added" in line for step, line in zip((7, 6), told, strict=True)
    ] == [
        True,
        True,
    ]
    assert {path.name for path in tmp_path.iterdir()} == {
        *("5", "5.sha256", "damaged-6", "damaged-6.sha256", "damaged-7", "damaged-7-2", "damaged-7-2.sha256")
    }
    same(checkpoints.load_lifter(tmp_path).variables, weights(5))
    (tmp_path / "5.sha256").write_text("")
    with pytest.raises(checkpoints.DamagedCheckpointError, match=r"no step is intact: .*5 has no readable"):
        checkpoints.set_aside_damaged(tmp_path)
    assert checkpoints.set_aside_damaged(tmp_path / "nothing") == []


def test_missing_and_added_files_are_caught(tmp_path):
    checkpoints.save(tmp_path, 1, weights(), DESCRIPTION)
    (tmp_path / "1" / "extra").write_text("")
    with pytest.raises(ValueError, match="the file extra was added"):
        checkpoints.verify(tmp_path, 1)
    (tmp_path / "1" / "extra").unlink()
    path = files(tmp_path / "1")[0]
    path.unlink()
    with pytest.raises(
        ValueError, match=f"the file {path.relative_to(tmp_path / '1').as_posix()} is missing"
    ):
        checkpoints.verify(tmp_path, 1)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[1, 2]", "3", "\udcff", "[" * 9999],
    ids=["empty", "cut", "list", "number", "bytes", "deep"],
)
def test_an_unreadable_manifest_is_named(tmp_path, content):
    checkpoints.save(tmp_path, 1, weights(), DESCRIPTION)
    (tmp_path / "1.sha256").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=r"no readable manifest \(1.sha256\)"):
        checkpoints.load_lifter(tmp_path)


def test_a_folder_without_a_checkpoint_is_named(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(
            ValueError, match=f"{folder} holds no complete step: give the folder named 'checkpoints'"
        ):
            checkpoints.load_lifter(folder)
    assert checkpoints.newest_step(tmp_path / "nowhere") is None
    assert not (tmp_path / "nowhere").exists()


def test_another_network_is_named_setting_by_setting(tmp_path):
    checkpoints.save(tmp_path, 1, weights(), DESCRIPTION, moments())
    other = LIFTER.clone(channels=16, fill="interpolate")
    with pytest.raises(
        ValueError, match="channels is 8 there and 16 here; fill is 'zero' there and 'interpolate' here"
    ):
        checkpoints.restore_training(tmp_path, other, moments())


def test_another_optimiser_is_named(tmp_path):
    checkpoints.save(tmp_path, 1, weights(), DESCRIPTION, moments())
    sgd = optax.sgd(1e-3, momentum=0.9).init(weights()["params"])
    with pytest.raises(ValueError, match="holds the state of another optimiser"):
        checkpoints.restore_training(tmp_path, LIFTER, sgd)


@pytest.mark.parametrize(
    "change", [{"channels": 16}, {"gating": "none"}, {"num_joints": 6}, {"filter_widths": [3, 3]}]
)
def test_weights_that_do_not_fit_the_description_are_refused(tmp_path, change):
    network = DESCRIPTION["network"] | change
    checkpoints.save(tmp_path, 1, weights(), {"network": network})
    with pytest.raises(ValueError, match=r"has shape .* the weights belong to another network"):
        checkpoints.load_lifter(tmp_path)


@pytest.mark.parametrize(
    "description",
    [
        {},
        {"network": {}},
        {"network": 3},
        [1],
        {"network": DESCRIPTION["network"] | {"filter_widths": [4]}},
        {"network": DESCRIPTION["network"] | {"kind": "Transformer"}},
    ],
    ids=["empty", "no_settings", "number", "list", "even_width", "kind"],
)
def test_descriptions_of_something_else_are_refused(tmp_path, description):
    checkpoints.begin_save.__wrapped__(tmp_path, 1, weights(), description).result()
    with pytest.raises(ValueError, match="does not describe a lifter that is known here"):
        checkpoints.load_lifter(tmp_path)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "Expecting value"),
        (b'{"network"', "Expecting"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[" * 100_000, "nested deeper than 32"),
        (b'{"network": ' + b"9" * 30 + b"}", "beyond 64 bits"),
    ],
    ids=["empty", "cut", "bytes", "deep", "number"],
)
def test_a_description_that_is_no_text_of_ours_is_named(tmp_path, content, why):
    """Damaged before the manifest was written, or by other software: the hashes agree."""
    checkpoints.save(tmp_path, 1, weights(), DESCRIPTION)
    sign(tmp_path, content)
    with pytest.raises(
        ValueError, match=rf"1/description/metadata is not the description .*{why}.*: restore"
    ):
        checkpoints.load_lifter(tmp_path)


def sign(folder, content):
    """Puts another description into step 1 and writes the manifest that fits."""
    (folder / "1" / "description" / "metadata").write_bytes(content)
    (folder / "1.sha256").write_text(json.dumps(checkpoints.hash_files(folder / "1")))


@pytest.mark.parametrize(
    "settings",
    [
        {"filter_widths": [[3]]},
        {"filter_widths": [3, 0]},
        {"filter_widths": {}},
        {"filter_widths": []},
        {"channels": "8"},
        {"channels": -8},
        {"channels": 2**62},
        {"num_joints": None},
        {"dropout": "a"},
        {"gating": []},
        {"fill": 3},
        {"kind": []},
    ],
    ids=str,
)
def test_settings_of_other_kinds_are_refused(tmp_path, settings):
    checkpoints.save(tmp_path, 1, weights(), {"network": DESCRIPTION["network"] | settings})
    with pytest.raises(ValueError, match=r"does not describe a lifter|belong to another network") as caught:
        checkpoints.load_lifter(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_integer_weights_are_refused(tmp_path):
    checkpoints.save(tmp_path, 1, jax.tree.map(lambda leaf: leaf.astype(np.int32), weights()), DESCRIPTION)
    with pytest.raises(ValueError, match="has dtype int32; expected floats"):
        checkpoints.load_lifter(tmp_path)


def test_exports_are_half_the_size_and_come_back_as_float32(tmp_path):
    checkpoints.save(tmp_path / "run", 9, weights(), DESCRIPTION, moments())
    assert checkpoints.export(tmp_path / "run", tmp_path / "shipped") == tmp_path / "shipped" / "0"
    loaded = checkpoints.load_lifter(tmp_path / "shipped")
    assert loaded.network == LIFTER and loaded.description == DESCRIPTION
    for saved, exact in zip(jax.tree.leaves(loaded.variables), jax.tree.leaves(weights()), strict=True):
        assert saved.dtype == jnp.float32
        np.testing.assert_array_equal(saved, exact.astype(np.float16).astype(np.float32))
    assert not (tmp_path / "shipped" / "0" / "optimizer").exists()
    with pytest.raises(ValueError, match="holds no optimiser state, as exported weights do not"):
        checkpoints.restore_training(tmp_path / "shipped", LIFTER, moments())


def test_an_export_names_no_folder_and_may_fill_gaps_otherwise(tmp_path):
    config = {"data": ["/data/a.npz"], "output": "/runs/b", "start_from": "/runs/wild/checkpoints"}
    checkpoints.save(tmp_path / "run", 9, weights(), {**DESCRIPTION, "config": config})
    checkpoints.export(tmp_path / "run", tmp_path / "shipped", fill="cubic")
    loaded = checkpoints.load_lifter(tmp_path / "shipped")
    assert loaded.description["config"] == {"data": ["a.npz"], "start_from": "wild"}
    assert loaded.network == LIFTER.clone(fill="cubic")


def test_an_export_may_be_the_mean_of_two_parts_of_a_training(tmp_path):
    for seed in (1, 2):
        checkpoints.save(tmp_path / f"run{seed}" / "checkpoints", 9, weights(seed), DESCRIPTION)
    runs = [tmp_path / f"run{seed}" / "checkpoints" for seed in (1, 2)]
    checkpoints.export(runs[1], tmp_path / "shipped", earlier=runs[0], earlier_share=0.3)
    loaded = checkpoints.load_lifter(tmp_path / "shipped")
    assert loaded.description["mixed"] == {"earlier": "run1", "earlier_share": 0.3}
    values = (jax.tree.leaves(each) for each in (loaded.variables, weights(1), weights(2)))
    for mean, one, other in zip(*values, strict=True):
        np.testing.assert_allclose(mean, 0.3 * one + 0.7 * other, rtol=2e-3, atol=1e-5)
    with pytest.raises(ValueError, match=r"earlier_share is 1.5: give a share between 0 and 1"):
        checkpoints.export(runs[1], tmp_path / "no", earlier=runs[0], earlier_share=1.5)
    network = {"network": {**DESCRIPTION["network"], "fill": "cubic"}}
    checkpoints.save(tmp_path / "other", 1, weights(1), {**DESCRIPTION, **network})
    with pytest.raises(ValueError, match="holds another network than"):
        checkpoints.export(runs[1], tmp_path / "no", earlier=tmp_path / "other")


def test_an_export_never_keeps_older_weights_in_silence(tmp_path):
    for seed in (1, 2):
        checkpoints.save(tmp_path / f"run{seed}", 9, weights(seed), DESCRIPTION)
    checkpoints.export(tmp_path / "run1", tmp_path / "shipped")
    with pytest.raises(ValueError, match="step 0 does not come after step 0"):
        checkpoints.export(tmp_path / "run2", tmp_path / "shipped")


def test_the_manifest_lists_every_file(tmp_path):
    checkpoints.save(tmp_path, 1, weights(), DESCRIPTION, moments())
    listed = json.loads((tmp_path / "1.sha256").read_text())
    assert sorted(listed) == [path.relative_to(tmp_path / "1").as_posix() for path in files(tmp_path / "1")]
    assert all(len(digest) == 64 for digest in listed.values())
