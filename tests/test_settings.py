"""A network's settings are its module's fields, stated once; what is out of range is named."""

import dataclasses

import jax.numpy as jnp
import pytest

from gated_lift.networks.attention import AttentionLifter
from gated_lift.networks.checkpoints import describe_lifter
from gated_lift.networks.factorized import FactorizedLifter
from gated_lift.networks.protocol import Lifter
from gated_lift.networks.sequence import SequenceLifter
from gated_lift.networks.settings import KINDS, settings_of
from gated_lift.networks.temporal import TemporalLifter


@pytest.mark.parametrize("kind", KINDS)
def test_settings_have_the_modules_fields_and_defaults(kind):
    settings, lifter = settings_of(kind), kind()
    built = settings.build(
        num_joints=5, fps=25.0, batch_norm_momentum=0.0, axis_name="devices", dtype=jnp.bfloat16
    )
    assert (
        isinstance(built, Lifter)
        and (built.num_joints, built.fps) == (5, 25.0)
        and built.dtype == jnp.bfloat16
    )
    assert vars(settings) == {name: getattr(lifter, name) for name in vars(settings)}
    described = describe_lifter(built)
    assert set(described) == {"kind", "num_joints", "fps", *vars(settings)}
    assert not {"dtype", "axis_name", "batch_norm_momentum", "parent", "name"} & set(described)


def test_settings_are_values():
    one = settings_of(TemporalLifter, channels=8)
    assert one == settings_of(TemporalLifter, channels=8) and hash(one) == hash(one.replace(channels=8))
    assert one.replace(dropout=0.5).dropout == 0.5 and one != one.replace(dropout=0.5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.channels = 9
    with pytest.raises(TypeError, match="chanels"):
        settings_of(TemporalLifter, chanels=8)


@pytest.mark.parametrize(
    ("kind", "name", "value", "mend"),
    [
        (TemporalLifter, "channels", 0, "give a whole number, 1 or more"),
        (TemporalLifter, "dropout", 1.5, "give the share that is dropped, from 0 to below 1"),
        (TemporalLifter, "dropout", -0.1, "give the share"),
        (TemporalLifter, "filter_widths", (), "give one or more odd widths"),
        (TemporalLifter, "filter_widths", (3, 2), "give one or more odd widths"),
        (TemporalLifter, "fade_seconds", (0.0,), "give positive seconds, or none"),
        (SequenceLifter, "window", 0, "give a whole number"),
        (SequenceLifter, "dropout", float("nan"), "give the share"),
        (FactorizedLifter, "bases", 51, "and window 50: give bases from 1 to window"),
        (FactorizedLifter, "hidden_dropout", 1.0, "give the share"),
        (AttentionLifter, "heads", 3, "and channels 64: choose heads to divide channels"),
        (AttentionLifter, "patch", 2, "and window 27: choose patch to divide window"),
        (AttentionLifter, "slide", 28, "and window 27: give slide from 1 to window"),
        (AttentionLifter, "depth", 0, "give a whole number"),
    ],
)
def test_settings_out_of_range_are_named(kind, name, value, mend):
    with pytest.raises(ValueError, match=rf"^{name} is .*{mend}"):
        settings_of(kind, **{name: value}).build()
