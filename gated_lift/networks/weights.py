"""Weights that ship with the project, trained on motion capture; docs/model_card.md says what each is good
for, docs/results.md has the commands.
"""

from pathlib import Path

_FOLDER = Path(__file__).with_name("trained")

TWO_STREAM = _FOLDER / "two_stream"
SMALL = _FOLDER / "small"
PLAIN = _FOLDER / "plain"
INFILL = _FOLDER / "infill"

# Every other folder that ships is a name that `checkpoints.load_lifter` takes.
SHIPPED = {path.name: path for path in sorted(_FOLDER.iterdir()) if path.is_dir() and path != INFILL}
DEFAULT = SMALL.name

LICENCE_SENTENCE = (
    "The data used in this project was obtained from mocap.cs.cmu.edu. "
    "The database was created with funding from NSF EIA-0196217."
)
