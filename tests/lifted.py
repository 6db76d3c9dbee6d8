"""Lifted people for the tests of what shows them: two walkers who cross before a camera."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np

from gated_lift.cameras import look_at, world_to_camera
from gated_lift.people import LiftedPeople
from gated_lift.skeleton import H36M_17
from gated_lift.synthetic import generated
from solvers import Camera, Extrinsics, Status, project

CAMERA = Camera((1145.0, 1145.0), (960.0, 540.0))
# Real films, 1088 x 1920, 100 frames at 60 a second; not part of the project.
FILMS = Path(__file__).parents[2] / "shared" / "data" / "detections_2d" / "pose2sim_videos"


def crossing(
    frames: int = 50,
    fps: float = 25.0,
    axes: str = "camera",
    moving: bool = False,
    names: tuple[str, ...] = ("Anna", "Bob"),
    image_size: tuple[int, int] = (1920, 1080),
) -> LiftedPeople:
    """Anna passes before Bob, who is hidden then, comes later, and is only partly seen.

    moving: the camera moves too, so that its extrinsics have a row a frame.
    """
    rng = np.random.default_rng(0)
    half = 0.5 * frames / fps
    world = np.stack(
        [
            generated.walk(frames, fps=fps, speed=1.0, start=(-half, 0.0)),
            generated.walk(frames, fps=fps, speed=0.8, start=(-0.8 * half, 1.2)),
        ]
    ).astype(np.float32)
    world[1, ..., 0] *= -1
    rows = frames if moving else 1
    position = jnp.stack(
        [
            jnp.linspace(-1.0, 1.0, rows) if moving else jnp.zeros(1),
            jnp.full(rows, -5.0),
            jnp.full(rows, 1.4),
        ],
        axis=-1,
    )
    aim = jnp.tile(jnp.array([[0.0, 0.5, 0.95]]), (rows, 1))
    extrinsics = Extrinsics(look_at(position, aim, jnp.zeros(rows)), position)
    seen = np.asarray(world_to_camera(jnp.asarray(world), extrinsics))
    keypoints = np.asarray(project(jnp.asarray(seen), CAMERA), np.float64)
    keypoints = keypoints + rng.normal(0, 2, keypoints.shape)
    hidden = np.zeros((2, frames, 17), bool)
    hidden[1] = np.abs(keypoints[1, ..., 0] - keypoints[0, :, :1, 0]) < 130
    present = np.ones((2, frames), bool)
    present[1, : frames // 8] = False
    hidden[~present] = True
    keypoints[hidden] = np.nan
    joints = np.where(present[..., None, None], seen if axes == "camera" else world, np.nan).astype(
        np.float64
    )
    spread = 0.03 * (1 + 4 * hidden.mean(-1))
    covariance = spread[..., None, None] ** 2 * np.diag(
        [1.0, 1.0, 4.0] if axes == "camera" else [1.0, 4.0, 1.0]
    )
    residual = np.where(hidden.all(-1), np.nan, np.abs(rng.normal(3, 1, (2, frames))))
    return LiftedPeople(
        joints=joints,
        root=joints[:, :, 0],
        covariance=np.where(present[..., None, None], covariance, np.nan),
        status=np.array([Status.CONVERGED, Status.PARTLY_SEEN]),
        present=present,
        residual=residual,
        keypoints=keypoints,
        confidence=1.0 - hidden,
        hidden=hidden,
        names=names,
        skeleton=H36M_17,
        fps=fps,
        times=np.arange(frames) / fps,
        axes=axes,
        camera=CAMERA,
        extrinsics=extrinsics,
        image_size=image_size,
        source="clips/crossing.json",
    )


def some_of(people: LiftedPeople, which: slice) -> LiftedPeople:
    """Some of the people, or none."""
    fields = ("joints", "root", "status", "present", "residual", "keypoints", "confidence", "hidden", "names")
    some = {name: getattr(people, name)[which] for name in fields}
    return people._replace(covariance=None if people.covariance is None else people.covariance[which], **some)


def write_film(path: Path, frames: int, size: tuple[int, int] = (192, 108), rotation: int = 0) -> Path:
    """A film whose frames are each a little lighter than the one before, with a white top left quarter.

    rotation: degrees, counterclockwise, by which players turn it.
    """
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        if rotation:
            stream.set_display_rotation(rotation)
        for number in range(frames):
            picture = np.full((size[1], size[0], 3), 20 + 3 * number, np.uint8)
            picture[: size[1] // 2, : size[0] // 2] = 250
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())
    return path
