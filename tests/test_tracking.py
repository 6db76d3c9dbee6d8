"""`track`: from rows to people. Small scenes in NumPy; one compilation, of the pair network."""

import logging
import sys

import numpy as np
import pytest
from tracked import crossing, detections_of, identities, project, walkers

from gated_lift.skeleton import COCO_17, H36M_17, Skeleton
from gated_lift.tracking import track
from gated_lift.tracking.track import Labelled, _names


@pytest.mark.parametrize(
    ("method", "fps"), [("network", 10.0), ("network", 25.0), ("network", 60.0), ("online", 25.0)]
)
def test_identities_are_kept_at_every_frame_rate(method, fps):
    made, person = crossing(fps=fps, hidden=0.6)
    tracks = track(made, method=method)
    assert tracks.names == ("person 1", "person 2")
    assert sorted(map(sorted, identities(made, person, tracks))) == [["person 1"], ["person 2"]]


@pytest.mark.parametrize("scale", [0.1, 3.0])
def test_the_size_of_the_image_does_not_matter(scale):
    plain, _ = crossing(seconds=2.0, hidden=0.4)
    large = plain._replace(keypoints=plain.keypoints * scale)
    a, b = track(plain), track(large)
    np.testing.assert_allclose(a.keypoints * scale, b.keypoints, rtol=1e-9)
    np.testing.assert_array_equal(a.hidden, b.hidden)


def test_the_order_of_rows_does_not_matter():
    made, _ = crossing(seconds=2.0)
    order = np.lexsort((np.random.default_rng(5).random(len(made.frame)), made.frame))
    other = made._replace(
        frame=made.frame[order], keypoints=made.keypoints[order], confidence=made.confidence[order]
    )
    for a, b in zip(track(made)[:4], track(other)[:4], strict=True):
        np.testing.assert_array_equal(a, b)


def test_times_of_the_file_take_the_place_of_a_rate():
    made, _ = crossing(seconds=2.0)
    timed = made._replace(fps=None, times=np.arange(made.num_frames) / 30.0)
    np.testing.assert_array_equal(track(made).keypoints, track(timed).keypoints)
    with pytest.raises(ValueError, match="times must be finite and grow"):
        track(timed._replace(times=timed.times[::-1]))
    with pytest.raises(ValueError, match="one time a frame"):
        track(timed._replace(times=timed.times[:5]))


def test_without_a_rate_nothing_is_guessed():
    made, _ = crossing()
    with pytest.raises(ValueError, match="fps is None, and how far people move"):
        track(made._replace(fps=None))


def away(seconds):
    """One person walks through the picture and is not found for some seconds in the middle."""
    fps, total = 30.0, seconds + 3.0
    (poses,) = walkers(total, fps, lanes=((1, 0.5),), speed=0.7)
    time = np.arange(len(poses)) / fps
    found = (np.abs(time - total / 2) >= seconds / 2)[None]
    return detections_of([project(poses)], found, fps)


def test_who_comes_back_after_a_second_is_the_same_and_after_three_somebody_new():
    made, _ = away(1.0)
    assert track(made).names == ("person 1",)
    made, _ = away(3.0)
    assert track(made).names == ("person 1", "person 2")
    assert track(made, people=1).names == ("person 1",)


def test_people_says_how_many_there_are():
    made, _ = crossing()
    assert len(track(made, people=2).names) == 2
    one = track(made, people=1)
    assert len(one.names) == 1
    assert len(track(made, people=5).names) == 2, "nobody is invented"
    with pytest.raises(ValueError, match="people is 0"):
        track(made, people=0)


def test_spurious_tracks_and_doubles_are_dropped_and_counted(caplog):
    made, _ = crossing()
    ghost = made.keypoints[:3] + np.array([300.0, 200.0])
    double = np.flatnonzero(made.frame < 14)[::2]
    frame = np.concatenate([made.frame, [50, 51, 52], made.frame[double]])
    order = np.argsort(frame, kind="stable")
    keypoints = np.concatenate([made.keypoints, ghost, made.keypoints[double] + 1.0])[order]
    more = made._replace(
        frame=frame[order], keypoints=keypoints, confidence=np.full(keypoints.shape[:2], 0.9)
    )
    with caplog.at_level(logging.INFO, "gated_lift"):
        tracks = track(more)
    assert tracks.names == ("person 1", "person 2")
    assert "2 people" in caplog.text and "dropped" in caplog.text


def test_ids_of_the_file_are_kept():
    made, person = crossing()
    ids = np.where(person == 0, 7, 3)
    ids[made.frame == 5] = -1
    tracks = track(made._replace(ids=ids), ids="file")
    assert tracks.names == ("3", "7")
    assert tracks.hidden[:, 5].all()
    seven = np.flatnonzero((person == 0) & (made.frame == 9))[0]
    np.testing.assert_array_equal(tracks.keypoints[1, 9], made.keypoints[seven])


def test_names_of_the_file_are_kept_and_given_by_majority():
    made, person = crossing()
    named = made._replace(ids=np.where(person == 0, 2, 0), names=("Bo", "person 2", "Ada"))
    assert track(named, ids="file").names == ("Bo", "Ada")
    # On some frames the file has them the wrong way round, on others it does not say.
    wrong = named._replace(ids=np.where(made.frame < 20, 2 - named.ids, named.ids))
    wrong.ids[made.frame > 80] = -1
    tracks = track(wrong)
    assert sorted(tracks.names) == ["Ada", "Bo"]
    assert identities(made, person, tracks) == [{"Ada"}, {"Bo"}]
    # Nobody is called what the file calls somebody else.
    nobody = named._replace(ids=np.where(person == 0, 2, -1))
    assert _names(nobody, Labelled(person, 2, 0, 0, 0)) == ("Ada", "unnamed 2")


def test_more_than_can_be_held_is_refused(monkeypatch):
    made, person = crossing(seconds=1.0)
    monkeypatch.setattr(sys.modules["gated_lift.tracking.track"], "MAX_KEYPOINTS", 1000)
    with pytest.raises(ValueError, match=r"2 people on 30 frames are more than .*: say how many there are"):
        track(made._replace(ids=person), ids="file")


def test_bad_ids_are_named():
    made, person = crossing()
    with pytest.raises(ValueError, match="frame 0 has id 4 2 times"):
        track(made._replace(ids=np.full(len(person), 4)), ids="file")
    with pytest.raises(ValueError, match="has no ids"):
        track(made, ids="file")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d._replace(skeleton=Skeleton("two", ("a", "b"), (-1, 0), (), ())), "and two has 2"),
        (lambda d: d._replace(confidence=d.confidence[:4]), "pass .rows, joints, 2."),
        (lambda d: d._replace(num_frames=10), "in a video of 10 frames"),
    ],
)
def test_what_does_not_fit_is_named(change, words):
    made, _ = crossing(seconds=2.0)
    with pytest.raises(Exception, match=words):
        track(change(made))
    with pytest.raises(ValueError, match="threshold is 2"):
        track(made, threshold=2.0)


def empty(frames=10, rows=0):
    made, _ = crossing(seconds=2.0)
    return made._replace(
        frame=np.zeros(rows, int),
        keypoints=np.full((rows, 17, 2), np.nan),
        confidence=np.zeros((rows, 17)),
        num_frames=frames,
    )


@pytest.mark.parametrize("method", ["network", "online"])
def test_nobody_in_any_frame(method):
    for made in (empty(), empty(rows=4), empty(frames=0)):
        tracks = track(made, method=method)
        assert tracks.keypoints.shape == (0, made.num_frames, 17, 2) and tracks.names == ()


@pytest.mark.parametrize("method", ["network", "online"])
def test_one_frame_and_one_person(method):
    made, _ = crossing(seconds=2.0)
    first = made.frame == 0
    one = made._replace(
        frame=made.frame[first],
        keypoints=made.keypoints[first],
        confidence=made.confidence[first],
        num_frames=1,
    )
    assert len(track(one, method=method).names) == 2
    alone, _ = away(0.0)
    tracks = track(alone, method=method)
    assert tracks.names == ("person 1",) and not tracks.hidden.any()


def test_low_confidence_is_hidden_and_another_skeleton_is_tracked_by_its_names():
    made, person = crossing()
    names = list(H36M_17.names)
    order = [names.index(name) if name in names else -1 for name in COCO_17.names]
    confidence = made.confidence[:, order].copy()
    confidence[:, [i for i, index in enumerate(order) if index < 0]] = 0.0
    coco = made._replace(keypoints=made.keypoints[:, order], confidence=confidence, skeleton=COCO_17)
    tracks = track(coco)
    assert tracks.names == ("person 1", "person 2") and tracks.skeleton is COCO_17
    assert tracks.hidden[:, :, 0].all()
    assert [len(found) for found in identities(coco, person, tracks)] == [1, 1]
