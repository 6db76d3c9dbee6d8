"""Which camera a video was taken with, from whatever the user knows of it."""

import logging
import math

import numpy as np

from gated_lift.readers.cameras import FileCamera
from solvers import Camera

LOGGER = logging.getLogger("gated_lift")


def choose_camera(
    image_size: tuple[int, int],
    focal: float | None = None,
    fov: float | None = None,
    known: FileCamera | None = None,
) -> Camera:
    """The camera of images of ``image_size`` (width, height in pixels).

    focal: pixels. fov: degrees, the angle of view along the longer side, 2 atan(side / 2f). known: of a file;
    resized where the file's images have another size of the same shape. The centre is the image's middle but
    for cameras of files. Without any of these the focal length is as long as the longer side, 53 degrees,
    between a phone's and a portrait lens, and a warning says what hangs on it.

    Raises ValueError for more than one of these, for numbers out of range and for images of another shape.
    """
    width, height = image_size
    given = [
        name for name, value in (("focal", focal), ("fov", fov), ("intrinsics", known)) if value is not None
    ]
    if len(given) > 1:
        raise ValueError(f"{' and '.join(given)} both say what the camera is: give one of them")
    longer = max(width, height)
    if known is not None:
        return _resized(known, image_size)
    if focal is not None:
        if not (math.isfinite(focal) and 0.1 * longer < focal < 100 * longer):
            raise ValueError(
                f"focal is {focal} for images of {width} x {height}: give pixels, such as {longer} "
                "(millimetres times the width in pixels, by the sensor's width in millimetres)"
            )
    elif fov is not None:
        if not 1 <= fov <= 170:
            raise ValueError(f"fov is {fov}: give degrees between 1 and 170, along the longer side")
        focal = longer / 2 / math.tan(math.radians(fov) / 2)
    else:
        focal = float(longer)
        LOGGER.warning(
            "nothing says what the focal length is: %d px is taken (an angle of view of 53 degrees). Joints "
            "about their root hardly change with it; everybody's distance is in proportion to it: give a "
            "focal length, an angle of view or a camera's file where distances matter",
            longer,
        )
    return Camera((focal, focal), (width / 2, height / 2))


def _resized(known: FileCamera, image_size: tuple[int, int]) -> Camera:
    camera, size = known
    if size is None or size == image_size:
        return camera
    factor = np.array(image_size) / np.array(size)
    if abs(factor[0] / factor[1] - 1) > 0.01:
        raise ValueError(
            f"the camera is of images of {size[0]} x {size[1]}, the keypoints of {image_size[0]} x "
            f"{image_size[1]}: give the camera of images of that shape (rotated, if the keypoints are)"
        )
    fx, fy = (float(value * by) for value, by in zip(camera.focal, factor, strict=True))
    cx, cy = (float(value * by) for value, by in zip(camera.center, factor, strict=True))
    return camera._replace(focal=(fx, fy), center=(cx, cy))
