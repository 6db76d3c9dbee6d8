"""Every network that there is, and its settings, which its Linen module alone states."""

import dataclasses
from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar

from gated_lift.networks.attention import AttentionLifter
from gated_lift.networks.factorized import FactorizedLifter
from gated_lift.networks.sequence import SequenceLifter
from gated_lift.networks.temporal import TemporalLifter

# A new network is one more line here.
KINDS: tuple[type, ...] = (
    TemporalLifter,
    SequenceLifter,
    FactorizedLifter,
    AttentionLifter,
)
# How a network is run, not what it computes.
RUN_SETTINGS = {"batch_norm_momentum", "axis_name", "dtype", "parent", "name"}
# What the data decides that a network is trained on.
DATA_SETTINGS = {"num_joints", "fps"}


@dataclasses.dataclass(frozen=True)
class NetworkSettings:
    """What a configuration chooses of a network: the fields of its Linen module with their defaults, without
    `RUN_SETTINGS` and `DATA_SETTINGS`. Made by `settings_of`; every kind of network has a subclass.
    """

    kind: ClassVar[type]

    def replace(self, **changes: Any) -> "NetworkSettings":
        """The same settings but for ``changes``."""
        return dataclasses.replace(self, **changes)

    def build(self, **run: Any) -> Any:
        """The network. run: values of `RUN_SETTINGS` and `DATA_SETTINGS`; those that it has no field for (a
        network without batch norm needs no momentum) are left out. Raises ValueError for a setting that is
        out of range.
        """
        known = {field.name for field in dataclasses.fields(self.kind)}
        lifter = self.kind(**vars(self), **{name: value for name, value in run.items() if name in known})
        lifter.check_settings()
        return lifter


def settings_of(kind: type, **values: Any) -> NetworkSettings:
    """The settings of a kind of network, ``values`` where they are named and its defaults elsewhere."""
    return _settings_class(kind)(**values)


def setting_names(kind: type) -> list[str]:
    """The fields that decide what a network computes, all of which a checkpoint tells."""
    return [field.name for field in dataclasses.fields(kind) if field.name not in RUN_SETTINGS]


@cache
def _settings_class(kind: type) -> Callable[..., NetworkSettings]:
    chosen = [
        (
            field.name,
            field.type,
            dataclasses.field(default=field.default, default_factory=field.default_factory),
        )
        for field in dataclasses.fields(kind)
        if field.name not in RUN_SETTINGS | DATA_SETTINGS
    ]
    about = {"kind": kind, "__doc__": f"Settings of `{kind.__name__}`."}
    name = f"{kind.__name__}Settings"
    return dataclasses.make_dataclass(name, chosen, bases=(NetworkSettings,), namespace=about, frozen=True)
