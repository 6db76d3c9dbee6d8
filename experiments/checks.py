"""Settings are checked before anything is read or written: which value is wrong, and what to give instead."""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Rule(NamedTuple):
    """holds: whether a value is in range; it is not asked of NaN. mend: what to give instead."""

    holds: Callable[[Any], bool]
    mend: str


COUNT = Rule(lambda value: isinstance(value, int) and value >= 1, "give a whole number, 1 or more")
WHOLE = Rule(lambda value: isinstance(value, int) and value >= 0, "give a whole number, 0 or more")
SEED = Rule(
    lambda value: isinstance(value, int) and 0 <= value < 2**32, "give a whole number from 0 to 4294967295"
)
POSITIVE = Rule(lambda value: 0 < value < math.inf, "give a finite number above 0")
NOT_NEGATIVE = Rule(lambda value: 0 <= value < math.inf, "give zero or more")
# Of gs://bucket/run Python's paths make a folder gs: here, and the library that saves checkpoints would go to
# the bucket by a client of its own: a run would lie in two places, half in each.
LOCAL = Rule(
    lambda path: not re.match(r"\w{2,}:/", str(path)),
    "buckets are not written to; give a local folder, or one that the bucket is mounted on (train copies "
    "what is complete to a bucket with --mirror)",
)
SHARE = Rule(lambda value: 0 <= value <= 1, "give a share from 0 to 1")


def each(rule: Rule, least: int = 1) -> Rule:
    """The rule for every entry of a tuple, which has at least so many."""

    def holds(values: Any) -> bool:
        return len(values) >= least and all(rule.holds(value) for value in values)

    return Rule(holds, f"for each of {least} or more entries, {rule.mend}")


def rising(rule: Rule) -> Rule:
    """The rule for both ends of a range, of which the lower comes first."""
    return Rule(
        lambda ends: len(ends) == 2 and ends[0] <= ends[1] and all(map(rule.holds, ends)),
        f"for both ends, the lower first, {rule.mend}",
    )


def one_of(*known: str) -> Rule:
    return Rule(lambda value: value in known, f"choose one of {', '.join(known)}")


# Of the `VirtualCamera` and the `DetectorConfig` that a configuration has as ``camera`` and ``detector``.
VIEW_RULES = {
    "camera.width": COUNT,
    "camera.height": COUNT,
    "camera.focal": rising(POSITIVE),
    "camera.distance": rising(POSITIVE),
    "camera.roll_std": NOT_NEGATIVE,
    "camera.aim_jitter": each(NOT_NEGATIVE, least=2),
    **dict.fromkeys(("detector.noise", "detector.hidden_noise", "detector.outlier_size"), NOT_NEGATIVE),
    **dict.fromkeys(("detector.outlier_rate", "detector.hidden_outlier_rate", "detector.swap_rate"), SHARE),
    **dict.fromkeys(
        ("detector.noise_seconds", "detector.outlier_seconds", "detector.swap_seconds"), POSITIVE
    ),
}


def check_numbers(config: Any, rules: Mapping[str, Rule]) -> None:
    """Raises ValueError, with its name and value and the mend, for the first setting that breaks its rule.

    rules: by name; ``masks.ratio`` is the setting ``ratio`` of ``config.masks``.
    """
    for name, rule in rules.items():
        value = config
        for part in name.split("."):
            value = getattr(value, part)
        if not rule.holds(value):
            raise ValueError(f"{name} is {value}: {rule.mend}")
