"""VideoPose3D's PyTorch checkpoints as lifters of this package.

Reading the files needs PyTorch (the extra ``pytorch``); what is in them is converted as NumPy arrays.
"""

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gated_lift.networks.checkpoints import LoadedLifter, describe_lifter, with_training
from gated_lift.networks.temporal import TemporalLifter

LICENCE = "Terms of the imported checkpoint; VideoPose3D's published ones: CC BY-NC"
# A training state also holds NumPy's random generator and its arrays. They are not needed, and nothing of
# them is built: their names stand for `_Unread` while the file is read.
_UNREAD_NAMES = (
    *("numpy.random.__RandomState_ctor", "numpy.random._pickle.__randomstate_ctor"),
    *("numpy.random._pickle.__bit_generator_ctor", "numpy.random._mt19937.MT19937"),
    *("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct"),
    *("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"),
    *("numpy.ndarray", "numpy.dtype"),
)


def import_videopose3d(path: str | Path, causal: bool = False) -> LoadedLifter:
    """Reads the pose network (``model_pos``) of a VideoPose3D checkpoint as a plain `TemporalLifter`.

    The lifter takes what VideoPose3D's network takes: keypoints of `cameras.normalize_screen`, here with any
    mask (gaps are interpolated, as the network has no input for it).

    causal: the file does not tell; True for a network that was trained with ``--causal``.

    The file does not tell the order of the joints either: it is that of the 2D set that it was trained on.
    Weights for ``coco`` keypoints take COCO's order and give Human3.6M's, so average over mirror images
    (``flip``) only where both orders are the same.

    The file is read with ``weights_only=True``: a pickle in it that asks for anything but tensors and plain
    containers is refused, so that no code of its author runs. Raises ImportError without PyTorch,
    FileNotFoundError for a missing file, and ValueError, with the file and the mend, for a file that PyTorch
    cannot or may not read, one without ``model_pos``, and weights that are not VideoPose3D's.
    """
    tensors = _read_tensors(Path(path))
    try:
        lifter, variables = convert_videopose3d(tensors, causal)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    description = {
        "network": describe_lifter(lifter),
        "imported": {"from": "VideoPose3D", "file": Path(path).name},
        "licences": [LICENCE],
    }
    return with_training(lifter, variables, description)


def convert_videopose3d(
    weights: Mapping[str, Any], causal: bool = False
) -> tuple[TemporalLifter, dict[str, Any]]:
    """The lifter and its variables that have the function of VideoPose3D's temporal model.

    weights: arrays by PyTorch's names, ``expand_conv.weight`` (C, 2J, w₀), ``layers_conv.N.weight``
    (C, C, w), ``shrink.weight`` (3J, C, 1) with a bias, and ``expand_bn.*``, ``layers_bn.N.*`` (C,); a prefix
    ``module.`` is dropped. Joints, channels and filter widths follow from the shapes.

    A network of VideoPose3D's ``--dense`` ablation, which is not dilated, has the same names, and passes for
    a dilated one of its widths.

    Raises ValueError, naming the key, for keys that are missing or too many, for shapes that do not fit each
    other, and for numbers that are not finite.
    """
    arrays = _Arrays({name.removeprefix("module."): value for name, value in weights.items()}, set())
    expand = arrays.take("expand_conv.weight", (None, None, None))
    channels, inputs, first = expand.shape
    outputs = arrays.take("shrink.weight", (None, channels, 1)).shape[0]
    if inputs % 2 or 3 * inputs != 2 * outputs:
        raise ValueError(
            f"expand_conv.weight takes {inputs} numbers and shrink.weight gives {outputs}: a lifter has two "
            "and three for every joint; networks between different sets of joints, and trajectory networks, "
            "cannot be imported"
        )
    layers, widths = {"expand": _convolution_norm(arrays, expand, "expand_bn")}, [first]
    for block in range(_count_blocks(arrays.values)):
        for index, kind, width in ((2 * block, "dilated", None), (2 * block + 1, "mix", 1)):
            kernel = arrays.take(f"layers_conv.{index}.weight", (channels, channels, width))
            layers[f"block{block}_{kind}"] = _convolution_norm(arrays, kernel, f"layers_bn.{index}")
            if kind == "dilated":
                widths.append(kernel.shape[2])
    even = [width for width in widths if width % 2 == 0]
    if even:
        raise ValueError(
            f"expand_conv.weight or a layers_conv has the filter width {even[0]}: VideoPose3D's are odd"
        )
    head = {
        "kernel": arrays.take("shrink.weight", (outputs, channels, 1))[:, :, 0].T,
        "bias": arrays.take("shrink.bias", (outputs,)),
    }
    unknown = sorted(set(arrays.values) - arrays.taken)
    if unknown:
        raise ValueError(
            f"{unknown[0]} and {len(unknown) - 1} other keys are none of VideoPose3D's temporal model: give "
            "the checkpoint of a network without changes"
        )
    lifter = TemporalLifter(
        gating="none",
        channels=channels,
        filter_widths=tuple(widths),
        num_joints=inputs // 2,
        causal=causal,
        framing="screen",
    )
    params = {name: {"feature": learned} for name, (learned, _) in layers.items()}
    statistics = {name: {"feature": running} for name, (_, running) in layers.items()}
    return lifter, {"params": params | {"head": head}, "batch_stats": statistics}


class _Arrays(NamedTuple):
    """Arrays by name, and which of them have been used."""

    values: dict[str, Any]
    taken: set[str]

    def take(self, name: str, shape: tuple[int | None, ...]) -> np.ndarray:
        """One array as float32, its shape checked where ``shape`` is not None."""
        if name not in self.values:
            raise ValueError(
                f"{name} is missing: give the state of VideoPose3D's temporal model (its model_pos)"
            )
        value = np.asarray(self.values[name])
        wanted = tuple("any" if size is None else size for size in shape)
        fits = len(value.shape) == len(shape) and all(
            size in (None, found) for size, found in zip(shape, value.shape, strict=True)
        )
        if not fits or 0 in value.shape or value.dtype.kind != "f":
            raise ValueError(
                f"{name} is {value.dtype} of shape {value.shape}, expected floats of shape {wanted}: these "
                "are not the weights of VideoPose3D's temporal model"
            )
        if not np.isfinite(value).all():
            raise ValueError(f"{name} has numbers that are not finite: the training of this network failed")
        self.taken.add(name)
        return value.astype(np.float32)


def _convolution_norm(
    arrays: _Arrays, kernel: np.ndarray, norm: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters and running statistics of one `layers.ConvolutionNorm`: (out, in, width) becomes
    (width, in, out).
    """
    shape = (kernel.shape[0],)
    learned = {"scale": arrays.take(f"{norm}.weight", shape), "bias": arrays.take(f"{norm}.bias", shape)}
    running = {
        "mean": arrays.take(f"{norm}.running_mean", shape),
        "var": arrays.take(f"{norm}.running_var", shape),
    }
    arrays.taken.add(f"{norm}.num_batches_tracked")
    weights = np.ascontiguousarray(kernel.transpose(2, 1, 0))
    return {"convolution": {"kernel": weights}, "norm": learned}, {"norm": running}


def _count_blocks(names: Mapping[str, Any]) -> int:
    found = [re.fullmatch(r"layers_conv\.(\d+)\.weight", name) for name in names]
    return (max((int(match[1]) for match in found if match), default=-1) + 2) // 2


class _Unread:
    """Takes the place of an object that the file holds and nobody needs."""

    def __init__(self, *arguments: Any) -> None:
        del arguments

    def __setstate__(self, state: Any) -> None:
        del state


def _read_tensors(path: Path) -> dict[str, np.ndarray]:
    """``model_pos`` of a PyTorch file as arrays."""
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            f"{path} is a PyTorch file: install PyTorch with pip install 'gated-lift[pytorch]'"
        ) from error
    with path.open("rb"):
        pass  # a missing file is a missing file, whatever PyTorch makes of it
    try:
        with torch.serialization.safe_globals([(_Unread, name) for name in _UNREAD_NAMES]):
            held = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        asked = re.search(r"GLOBAL (\S+)", str(error))
        what = f"asks for {asked[1]}, which tensors do not need" if asked else "is damaged or no mere tensors"
        raise ValueError(
            f"{path} holds a pickle that {what}: it is not read, because a pickle can run any code of its "
            "author; give a checkpoint as VideoPose3D's run.py writes it"
        ) from error
    # A damaged file is a damaged program: these are what reading one was seen to raise.
    except (RuntimeError, LookupError, AttributeError, TypeError, ValueError, EOFError, OSError) as error:
        raise ValueError(
            f"{path} is not a whole PyTorch file ({_first_line(error)}): fetch or write it again"
        ) from error
    if not isinstance(held, dict) or not isinstance(held.get("model_pos"), dict):
        keys = ", ".join(map(str, held)) if isinstance(held, dict) else type(held).__name__
        raise ValueError(
            f"{path} holds {keys or 'nothing'}, not model_pos: give a checkpoint as VideoPose3D's run.py "
            "writes it"
        )
    for name, value in held["model_pos"].items():
        if not isinstance(value, torch.Tensor) or value.layout != torch.strided:
            raise ValueError(f"{path}: {name} of model_pos is not a plain tensor: write the checkpoint again")
    return {str(name): value.detach().float().numpy() for name, value in held["model_pos"].items()}


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
