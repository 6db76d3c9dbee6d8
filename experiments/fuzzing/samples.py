"""People as detectors would find them, written in every format that is read, with what should come out."""

import json
import struct
import zlib

import numpy as np

from gated_lift.skeleton import (
    BODY_25,
    COCO_17,
    COCO_18,
    COCO_133,
    H36M_17,
    HALPE_26,
    MEDIAPIPE_33,
    VITPOSE_25,
)

SIZE = (1280, 720)
FRAMES, PEOPLE = 4, 2

# A person who stands and faces the camera, in heights of the body from the top of the head; x to the right of
# the image, so that the person's left is at larger x.
MIDDLE = {
    **{
        "head": 0.0,
        "nose": 0.09,
        "neck": 0.14,
        "neck_base": 0.19,
        "thorax": 0.19,
        "spine": 0.36,
        "hip": 0.52,
    },
}
LEFT = {
    **{"eye_inner": (0.01, 0.07), "eye": (0.02, 0.07), "eye_outer": (0.03, 0.07), "ear": (0.045, 0.08)},
    **{"mouth": (0.015, 0.11), "shoulder": (0.1, 0.19), "elbow": (0.14, 0.34), "wrist": (0.16, 0.47)},
    **{"pinky": (0.17, 0.52), "index": (0.165, 0.53), "thumb": (0.15, 0.51), "hip": (0.06, 0.52)},
    **{"knee": (0.065, 0.74), "ankle": (0.07, 0.95), "heel": (0.07, 0.98), "foot_index": (0.08, 0.99)},
    **{"big_toe": (0.075, 0.99), "small_toe": (0.095, 0.985)},
}


def place(name):
    side, _, rest = name.partition("_")
    if name in MIDDLE:
        return 0.0, MIDDLE[name]
    if rest in LEFT:
        return LEFT[rest][0] * (1 if side == "left" else -1), LEFT[rest][1]
    # Points of the face and the hands.
    return (zlib.crc32(name.encode()) % 100) / 2500 * (1 if side == "left" else -1), 0.1


def people(skeleton, frames=FRAMES, count=PEOPLE):
    """(frames, people, joints, 3) of x, y in pixels and confidence, each number another."""
    figure = np.array([place(name) for name in skeleton.names])
    rng = np.random.default_rng(0)
    found = np.empty((frames, count, len(figure), 3))
    for person in range(count):
        for frame in range(frames):
            found[frame, person, :, :2] = figure * 500 + (300 + 400 * person + 5 * frame, 100 + 3 * person)
    found[..., :2] = (found[..., :2] + rng.normal(size=found[..., :2].shape)).round(3)
    found[..., 2] = rng.uniform(0.35, 0.95, found.shape[:-1]).round(4)
    return found


def flat(person):
    return person.ravel().tolist()


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def openpose(folder, found=None, first=0):
    found = people(BODY_25) if found is None else found
    for frame, shown in enumerate(found):
        value = {
            "version": 1.3,
            "people": [{"person_id": [-1], "pose_keypoints_2d": flat(person)} for person in shown],
        }
        write(folder / f"clip_{frame + first:012}_keypoints.json", value)
    return folder


def alphapose(path, found=None, **more):
    found = people(HALPE_26) if found is None else found
    entries = [
        {
            "image_id": f"{frame}.jpg",
            "category_id": 1,
            "keypoints": flat(person),
            "score": 2.9,
            "box": [1.0, 2.0, 3.0, 4.0],
            "idx": [number + 1.0],
            **more,
        }
        for frame, shown in enumerate(found)
        for number, person in enumerate(shown)
    ]
    return write(path, entries)


def mmpose_frames(found):
    return [
        {
            "frame_id": frame,
            "instances": [
                {
                    "keypoints": person[:, :2].tolist(),
                    "keypoint_scores": person[:, 2].tolist(),
                    "bbox": [[1.0, 2.0, 3.0, 4.0]],
                    "bbox_score": 0.9,
                }
                for person in shown
            ],
        }
        for frame, shown in enumerate(found)
    ]


def mmpose(path, found=None):
    return write(path, mmpose_frames(people(COCO_17) if found is None else found))


def coco(path, found=None, **more):
    found = people(COCO_17) if found is None else found
    entries = [
        {"image_id": frame, "category_id": 1, "keypoints": flat(person), "score": 0.9, **more}
        for frame, shown in enumerate(found)
        for person in shown
    ]
    return write(path, entries)


def ultralytics_txt(folder, found=None, conf=False, ids=True):
    found = people(COCO_17) if found is None else found
    for frame, shown in enumerate(found):
        lines = []
        for number, person in enumerate(shown):
            person = person / (*SIZE, 1)
            words = [0, 0.5, 0.5, 0.1, 0.2, *flat(person.round(7))]
            words += [0.875] * conf + [number + 3] * ids
            lines.append(" ".join(map(str, words)))
        write(folder / f"clip_{frame + 1}.txt", "\n".join(lines) + "\n")
    return folder


def ultralytics_json(path, found=None):
    found = people(COCO_17) if found is None else found
    value = [
        [
            {
                "name": "person",
                "class": 0,
                "confidence": 0.9,
                "box": {"x1": 1, "y1": 2, "x2": 3, "y2": 4},
                "track_id": number + 3,
                "keypoints": {key: person[:, at].tolist() for at, key in enumerate(("x", "y", "visible"))},
            }
            for number, person in enumerate(shown)
        ]
        for shown in found
    ]
    return write(path, value)


def easy_vitpose(path, found=None, skeleton=VITPOSE_25):
    found = people(skeleton) if found is None else found
    frames = [
        {str(number + 5): person[:, [1, 0, 2]].tolist() for number, person in enumerate(shown)}
        for shown in found
    ]
    names = {str(number): name for number, name in enumerate(skeleton.names)}
    return write(path, {"keypoints": frames, "skeleton": names})


def rtmlib_json(path, found=None):
    found = people(HALPE_26) if found is None else found
    return write(
        path, [{"keypoints": shown[..., :2].tolist(), "scores": shown[..., 2].tolist()} for shown in found]
    )


def rtmlib_npz(path, found=None, **more):
    found = people(HALPE_26) if found is None else found
    np.savez(path, keypoints=found[..., :2], scores=found[..., 2], **more)
    return path


def landmarks(found=None):
    """(frames, people, 33, 4) of x, y, z as shares of the image, and visibility."""
    found = people(MEDIAPIPE_33) if found is None else found
    return np.insert(found / (*SIZE, 1), 2, 0.1, axis=-1)


def mediapipe_json(path, found=None):
    results = [
        {
            "frame": frame,
            "timestampMs": 40 * frame,
            "landmarks": [
                [dict(zip(("x", "y", "z", "visibility"), point, strict=True)) for point in person]
                for person in shown.tolist()
            ],
        }
        for frame, shown in enumerate(landmarks(found))
    ]
    return write(path, {"image_width": SIZE[0], "image_height": SIZE[1], "fps": 25.0, "results": results})


def mediapipe_csv(path, found=None):
    found = people(MEDIAPIPE_33) if found is None else found
    lines = ["frame,landmark,x_px,y_px,z_px,visibility,person"]
    lines += [
        f"{frame},{joint},{x},{y},0.5,{c},{person}"
        for (frame, person, joint), (x, y, c) in zip(
            np.ndindex(found.shape[:3]), found.reshape(-1, 3), strict=True
        )
    ]
    return write(path, "\n".join(lines))


def plain_csv(path, found=None, names=H36M_17.names):
    found = people(H36M_17) if found is None else found
    lines = ["frame,id,joint,x,y,confidence"]
    lines += [
        f"{frame},{person + 7},{names[joint]},{x},{y},{c}"
        for (frame, person, joint), (x, y, c) in zip(
            np.ndindex(found.shape[:3]), found.reshape(-1, 3), strict=True
        )
    ]
    return write(path, "\n".join(lines))


def deeplabcut_csv(path, found=None, names=COCO_17.names):
    found = people(COCO_17) if found is None else found
    columns = [
        ("net", f"mouse{person}", name, coord)
        for person in range(found.shape[1])
        for name in names
        for coord in ("x", "y", "likelihood")
    ]
    lines = [
        ",".join([level, *(column[at] for column in columns)])
        for at, level in enumerate(("scorer", "individuals", "bodyparts", "coords"))
    ]
    lines += [",".join(map(str, [frame, *shown.ravel()])) for frame, shown in enumerate(found)]
    return write(path, "\n".join(lines) + "\n")


def videopose3d(path, found=None):
    found = people(COCO_17)[:, 0, :, :2] if found is None else found
    metadata = {
        "layout_name": "coco",
        "num_joints": 17,
        "keypoints_symmetry": [list(COCO_17.left), list(COCO_17.right)],
        "video_metadata": {"clip": {"w": SIZE[0], "h": SIZE[1]}},
    }
    np.savez(path, positions_2d={"clip": {"custom": [found]}}, metadata=metadata)
    return path


# Somebody who stands in a T-pose, centimetres, y up, as Mixamo's figures: a joint, its parent, and where it
# is from there. "End" is an end site.
RIG = (
    ("Hips", None, (0, 100, 0)),
    *(("Spine", "Hips", (0, 10, 0)), ("Spine1", "Spine", (0, 12, 0)), ("Spine2", "Spine1", (0, 13, 0))),
    *(("Neck", "Spine2", (0, 15, 0)), ("Head", "Neck", (0, 10, 2)), ("End", "Head", (0, 19, 0))),
    *(("LeftShoulder", "Spine2", (6, 12, 0)), ("LeftArm", "LeftShoulder", (12, 0, 0))),
    *(("LeftForeArm", "LeftArm", (28, 0, 0)), ("LeftHand", "LeftForeArm", (27, 0, 0))),
    ("End", "LeftHand", (8, 0, 0)),
    *(("RightShoulder", "Spine2", (-6, 12, 0)), ("RightArm", "RightShoulder", (-12, 0, 0))),
    *(("RightForeArm", "RightArm", (-28, 0, 0)), ("RightHand", "RightForeArm", (-27, 0, 0))),
    ("End", "RightHand", (-8, 0, 0)),
    *(("LeftUpLeg", "Hips", (9, -5, 0)), ("LeftLeg", "LeftUpLeg", (0, -43, 0))),
    *(("LeftFoot", "LeftLeg", (0, -43, 0)), ("End", "LeftFoot", (0, -8, 12))),
    *(("RightUpLeg", "Hips", (-9, -5, 0)), ("RightLeg", "RightUpLeg", (0, -43, 0))),
    *(("RightFoot", "RightLeg", (0, -43, 0)), ("End", "RightFoot", (0, -8, 12))),
)


def bvh(path, motion, rig=RIG, seconds=0.02, order="ZXY"):
    """A rig, its joints listed depth first, and a row of numbers a frame (frames, channels): rotations in the
    given order for every joint, for the root its position before them.
    """
    rotations = " ".join(f"{axis}rotation" for axis in order)
    lines, open_joints = ["HIERARCHY"], []

    def close(until):
        while open_joints and open_joints[-1] != until:
            open_joints.pop()
            lines.append("}")

    for name, parent, offset in rig:
        close(parent)
        kind = "ROOT" if parent is None else "JOINT"
        lines.extend(["End Site" if name == "End" else f"{kind} {name}", "{"])
        lines.append("OFFSET " + " ".join(map(str, offset)))
        if name != "End":
            positions = "" if parent else "Xposition Yposition Zposition "
            lines.append(f"CHANNELS {3 if parent else 6} {positions}{rotations}")
        open_joints.append(name)
    close(None)
    lines.extend(["MOTION", f"Frames: {len(motion)}", f"Frame Time: {seconds}"])
    return write(path, "\n".join(lines + [" ".join(map(str, row)) for row in motion.tolist()]) + "\n")


def swinging(frames, rig=RIG, at=(0.0, 100.0, 0.0), seed=0):
    """Channels of a rig whose joints turn by up to 20 degrees, and whose root stands somewhere."""
    joints = sum(name != "End" for name, *_ in rig)
    turns = np.random.default_rng(seed).uniform(-20, 20, (frames, 3 * joints)).round(4)
    return np.concatenate([np.tile(at, (frames, 1)), turns], axis=1)


def c3d(path, points, labels, fps=50.0, unit="mm", up="z", integers=False, order="<", missing=None):
    """Points (frames, points, 3) as C3D: floats, or integers of a tenth of the unit; bytes in Intel's
    order, or in MIPS' (">"). missing: (frames, points), which have the residual -1.
    """
    frames, count = points.shape[:2]
    scale = 0.1 if integers else -1.0

    def parameter(name, kind, shape, body):
        head = struct.pack("bb", len(name), 1) + name.encode()
        rest = struct.pack("bb", kind, len(shape)) + bytes(shape) + body + b"\0"
        return head + struct.pack(order + "h", 2 + len(rest)) + rest

    def texts(name, held):
        return parameter(name, -1, [16, len(held)], "".join(each.ljust(16) for each in held).encode())

    section = struct.pack("bb", 5, -1) + b"POINT" + struct.pack(order + "h", 3) + b"\0"
    section += parameter("RATE", 4, [], struct.pack(order + "f", fps)) + texts("LABELS", labels)
    section += texts("UNITS", [unit]) + texts("Y_SCREEN", [f"+{up}".upper()])
    blocks = -(-(len(section) + 6) // 512)
    section = bytes([1, 0x50, blocks, 86 if order == ">" else 84]) + section
    header = bytes([2, 0x50]) + struct.pack(
        order + "5hf2hf", count, 0, 1, frames, 0, scale, 2 + blocks, 0, fps
    )
    residual = np.zeros((frames, count)) if missing is None else np.where(missing, -1.0, 0.0)
    rows = np.concatenate([points / 0.1 if integers else points, residual[..., None]], axis=-1)
    body = rows.round().astype(order + "i2") if integers else rows.astype(order + "f4")
    path.write_bytes(header.ljust(512, b"\0") + section.ljust(512 * blocks, b"\0") + body.tobytes())
    return path


# Text that one file holds, by the format that it is found to be in: for damage.
TEXTS = {
    "openpose": lambda path: next(iter(sorted(openpose(path.parent / "op").iterdir()))),
    "alphapose": alphapose,
    "mmpose": mmpose,
    "coco": coco,
    "ultralytics": ultralytics_json,
    "easy_vitpose": easy_vitpose,
    "rtmlib": rtmlib_json,
    "mediapipe": mediapipe_json,
    "csv": plain_csv,
    "deeplabcut": deeplabcut_csv,
}

WIDER = {"coco_18": COCO_18, "coco_133": COCO_133}
