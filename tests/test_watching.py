"""Numbers of a training handed on, and a trace of some of its steps."""

import sys
from types import SimpleNamespace

import jax
import pytest

from experiments import watching

tensorboard = pytest.importorskip("tensorboardX")


def test_event_files_hold_the_log(tmp_path):
    with watching.watchers(tmp_path, True, False, {}) as tell:
        tell(3, {"loss": 0.5})
        tell(6, {"loss": 0.25})
    (path,) = (tmp_path / "events").iterdir()
    record = events_of(path)
    assert [
        (event.step, value.tag, value.simple_value) for event in record for value in event.summary.value
    ] == [
        (3, "loss", 0.5),
        (6, "loss", 0.25),
    ]


def events_of(path):
    """The events of a file: each has its length in 8 bytes, a checksum in 4, itself, and 4 of a checksum."""
    from tensorboardX.proto.event_pb2 import Event

    content, events = path.read_bytes(), []
    while content:
        size = int.from_bytes(content[:8], "little")
        events.append(Event.FromString(content[12 : 12 + size]))
        content = content[16 + size :]
    return events


def test_another_service_gets_the_same_numbers(tmp_path, monkeypatch):
    told = []
    run = SimpleNamespace(
        log=lambda values, step: told.append((step, values)), finish=lambda: told.append("finished")
    )
    begun = {}
    fake = SimpleNamespace(init=lambda **settings: begun.update(settings) or run)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    watching.check_watchers(False, True)
    with watching.watchers(tmp_path / "mine", False, True, {"seed": 0}) as tell:
        tell(1, {"loss": 2.0})
    assert told == [(1, {"loss": 2.0}), "finished"]
    assert (begun["id"], begun["config"], begun["resume"]) == ("mine", {"seed": 0}, "allow")


@pytest.mark.parametrize(
    ("flags", "module", "match"),
    [
        (
            (True, False),
            "tensorboardX",
            r"--tensorboard needs tensorboardX.* pip install 'gated_lift\[tensorboard\]'",
        ),
        ((False, True), "wandb", "--wandb needs wandb, which is not installed: pip install 'wandb'"),
    ],
)
def test_a_library_that_is_not_there_is_named(flags, module, match, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ValueError, match=match):
        watching.check_watchers(*flags)


def test_some_steps_are_traced(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(jax.profiler, "start_trace", lambda folder: calls.append(folder))
    monkeypatch.setattr(jax.profiler, "stop_trace", lambda: calls.append("stop"))
    for steps, expected in ((30, [tmp_path, "stop"]), (15, [tmp_path, "stop"]), (5, [])):
        calls.clear()
        with watching.traced(tmp_path) as look:
            for done in range(steps):
                look(done)
        assert calls == expected
    calls.clear()
    with watching.traced(None) as look:
        look(10)
    assert not calls
