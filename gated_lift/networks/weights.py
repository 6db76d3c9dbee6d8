"""Weights that ship with the project, trained on motion capture; docs/results.md has the commands."""

from pathlib import Path

_FOLDER = Path(__file__).with_name("trained")

TWO_STREAM = _FOLDER / "two_stream"
PLAIN = _FOLDER / "plain"
CAUSAL = _FOLDER / "causal"

SHIPPED = {path.name: path for path in (TWO_STREAM, PLAIN, CAUSAL)}
DEFAULT = TWO_STREAM.name

LICENCE_SENTENCE = (
    "The data used in this project was obtained from mocap.cs.cmu.edu. "
    "The database was created with funding from NSF EIA-0196217."
)
