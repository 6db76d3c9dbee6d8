"""The pair network, what it sees, its weights, and how its answers become people."""

import dataclasses
import json
import os
import shutil
import signal

import jax
import numpy as np
import pytest
from tracked import crossing

from experiments import guards, train_tracklets
from experiments.tracking_pairs import Pairs
from gated_lift.skeleton import H36M_17
from gated_lift.tracking.clusters import LinkSettings, link, pieces_of
from gated_lift.tracking.figure import LIMBS, figure_of
from gated_lift.tracking.filling import fill_gaps
from gated_lift.tracking.network import SHIPPED, load_pairs, logits, save_pairs
from gated_lift.tracking.pairs import (
    CHANNELS,
    FACTS,
    STEPS,
    Ends,
    candidates,
    ends_of,
    pair_input,
    scene_of,
)
from gated_lift.tracking.rows import rows_of
from gated_lift.tracking.tracklets import cut_tracklets

FIGURE = figure_of(H36M_17)


def pieces_in(made):
    rows = rows_of(made, FIGURE)
    tracklet = cut_tracklets(rows, FIGURE)
    _, pieces = pieces_of(tracklet)
    return rows, tracklet, pieces


def test_tracklets_show_one_person_each():
    made, person = crossing(hidden=0.4)
    rows, tracklet, pieces = pieces_in(made)
    assert all(len(set(person[rows.source[piece]])) == 1 for piece in pieces)
    assert 3 <= len(pieces) <= 8
    assert tracklet.min() == 0
    assert all((np.diff(rows.frame[piece]) > 0).all() for piece in pieces)


def test_the_right_pair_is_likelier_than_the_wrong_one():
    made, person = crossing(hidden=0.8)
    rows, tracklet, pieces = pieces_in(made)
    pieces = [piece for piece in pieces if len(piece) >= 9]
    ends = [ends_of(rows, piece) for piece in pieces]
    scene = scene_of(rows, tracklet, H36M_17)
    pairs = candidates(ends, 1.5)
    inputs = [pair_input(scene, pieces[a], pieces[b], ends[a], ends[b]) for a, b in pairs]
    series, facts = (np.stack(values) for values in zip(*inputs, strict=True))
    assert series.shape[1:] == (STEPS, CHANNELS) and facts.shape[1:] == (FACTS,)
    presence = series[:, :, 3 + 3 * len(LIMBS) : 5 + 3 * len(LIMBS)]
    assert not presence[:, : STEPS // 2, 1].any() and not presence[:, STEPS // 2 :, 0].any()
    odds = logits(load_pairs(), series, facts)
    owner = [person[rows.source[piece[0]]] for piece in pieces]
    same = np.array([owner[a] == owner[b] for a, b in pairs])
    assert same.any() and odds[same].min() > 0
    assert not (~same).any() or odds[~same].max() < odds[same].min()


def test_no_person_is_in_two_places():
    made, _ = crossing(hidden=0.4)
    rows, tracklet, _ = pieces_in(made)
    chain = link(rows, tracklet, FIGURE, H36M_17, LinkSettings(least=-1e3))
    assert len(set(zip(chain.tolist(), rows.frame.tolist(), strict=True))) == len(chain)


def test_loose_rows_fill_gaps_and_nothing_else():
    made, person = crossing(hidden=0.0)
    rows = rows_of(made, FIGURE)
    owner = person[rows.source]
    loose = (np.abs(rows.time - 1.5) < 0.3).astype(int)
    chain = fill_gaps(rows, np.where(loose > 0, -1, owner), loose, FIGURE)
    assert (chain == owner).mean() > 0.98
    far = rows._replace(keypoints=rows.keypoints + 3000.0 * loose[:, None, None])
    chain = fill_gaps(far, np.where(loose > 0, -1, owner), loose, FIGURE)
    assert (chain[loose > 0] == -1).all()


def test_candidates_are_near_in_time_and_place():
    def piece(first, last, x, size=100.0):
        at = np.array([x, 0.0])
        return Ends(first, last, at, at, np.zeros(2), np.zeros(2), size, size)

    ends = [piece(0, 1, 0), piece(1.5, 2, 10), piece(1.5, 2, 900), piece(3, 4, 0), piece(0.5, 2, 0)]
    assert candidates(ends, 1.5).tolist() == [[0, 1], [1, 3], [4, 3]]
    assert candidates([], 1.5).shape == (0, 2)


def test_changed_weights_are_refused(tmp_path):
    for ending in (".npz", ".json"):
        shutil.copy(SHIPPED.with_suffix(ending), tmp_path / f"pairs{ending}")
    loaded = load_pairs(tmp_path / "pairs")
    assert SHIPPED.with_suffix(".npz").stat().st_size < 300_000
    path = tmp_path / "pairs.json"
    described = json.loads(path.read_text())
    (tmp_path / "other.npz").write_bytes((tmp_path / "pairs.npz").read_bytes())
    described["network"]["hidden"] = 32
    (tmp_path / "other.json").write_text(json.dumps(described))
    with pytest.raises(ValueError, match="belong to another network"):
        load_pairs(tmp_path / "other")
    del described["network"]["channels"]
    (tmp_path / "other.json").write_text(json.dumps(described))
    with pytest.raises(ValueError, match="describes no network"):
        load_pairs(tmp_path / "other")
    damaged = bytearray((tmp_path / "pairs.npz").read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / "third.npz").write_bytes(damaged)
    shutil.copy(path, tmp_path / "third.json")
    with pytest.raises(ValueError, match="has changed since it was saved"):
        load_pairs(tmp_path / "third")
    assert jax.tree.all(jax.tree.map(lambda a: bool(np.isfinite(a).all()), loaded.variables))


def test_saved_weights_come_back(tmp_path):
    loaded = load_pairs()
    save_pairs(tmp_path / "again", loaded.network, loaded.variables, {"training": {"seed": 1}})
    again = load_pairs(tmp_path / "again")
    assert again.network == loaded.network and again.description["training"] == {"seed": 1}
    series, facts = np.ones((3, STEPS, CHANNELS), np.float32), np.ones((3, FACTS), np.float32)
    np.testing.assert_array_equal(logits(loaded, series, facts), logits(again, series, facts))
    assert logits(loaded, series[:0], facts[:0]).shape == (0,)


def test_variation_keeps_what_a_pair_is():
    rng = np.random.default_rng(0)
    series = rng.normal(size=(40, STEPS, CHANNELS)).astype(np.float32)
    facts = rng.normal(size=(40, FACTS)).astype(np.float32)
    varied, other = train_tracklets.vary(rng, series, facts)
    assert varied.shape == series.shape and not np.array_equal(varied, series)
    np.testing.assert_allclose(np.sort(other, axis=1), np.sort(facts, axis=1))
    # Distances from the middle stay, whichever way a pair is turned.
    np.testing.assert_allclose(
        np.sort(np.abs(varied[..., 0]), axis=1), np.sort(np.abs(series[..., 0]), axis=1), rtol=1e-6
    )
    assert (
        dataclasses.asdict(train_tracklets.TrackletConfig())["seed"]
        == load_pairs().description["training"]["seed"]
    )


@pytest.fixture
def few_pairs(monkeypatch):
    """Noise in the place of scenes: three batches of two pairs an epoch."""
    rng = np.random.default_rng(0)
    series = rng.normal(size=(6, STEPS, CHANNELS)).astype(np.float16)
    pairs = Pairs(series, rng.normal(size=(6, FACTS)).astype(np.float32), rng.random(6) < 0.5)
    monkeypatch.setattr(train_tracklets, "crowd", lambda *_: None)
    monkeypatch.setattr(train_tracklets, "pairs_of", lambda *_: pairs)


def test_a_training_that_was_asked_to_stop_leaves_the_weights(few_pairs, tmp_path, monkeypatch, capsys):
    """SIGTERM while the fifth batch of six is varied, SIGINT while a scene is drawn."""
    vary, seen = train_tracklets.vary, []

    def signalled(rng, series, facts):
        seen.append(series)
        if len(seen) == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return vary(rng, series, facts)

    monkeypatch.setattr(train_tracklets, "vary", signalled)
    config = train_tracklets.TrackletConfig(1, 1, epochs=2, batch=2, output=tmp_path / "pairs")
    with jax.numpy_dtype_promotion("standard"), pytest.raises(guards.Interrupted) as stopped:
        train_tracklets.train(config)
    told = f"SIGTERM: stopped; 5 of 6 steps are lost, and {tmp_path / 'pairs'} is as it was; the same command"
    assert stopped.value.code == 0 and told in capsys.readouterr().out
    monkeypatch.setattr(train_tracklets, "crowd", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(guards.Interrupted) as stopped:
        train_tracklets.train(config)
    assert (
        stopped.value.code == 130 and "SIGINT: stopped; the scenes are lost, and" in capsys.readouterr().out
    )
    assert len(seen) == 5 and not list(tmp_path.iterdir())
