"""The clip that ships with the package: MediaPipe's landmarks of a man and a woman who walk, one hiding part
of the other, and the camera that filmed them.
"""

from pathlib import Path

EXAMPLE = Path(__file__).parent.parent / "examples" / "two_people.npz"
EXAMPLE_CAMERA = EXAMPLE.with_name("two_people_camera.json")
EXAMPLE_PEOPLE = 2
