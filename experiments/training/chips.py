"""What accelerators can do, as their makers publish it."""

from typing import NamedTuple


class Chip(NamedTuple):
    """Published peaks of a TPU chip. flops: bfloat16 operations a second, to which a TPU also rounds the
    factors of float32 products unless told otherwise. memory: bytes. bandwidth: of the memory, bytes a
    second. links: of all links to other chips, both directions together, bytes a second.
    """

    flops: float
    memory: float
    bandwidth: float
    links: float


# Google Cloud's documentation of TPU v5e, v5p and v6e. A GB is taken for 10⁹ bytes.
CHIPS = {
    "v5e": Chip(flops=197e12, memory=16e9, bandwidth=819e9, links=400e9),
    "v5p": Chip(flops=459e12, memory=95e9, bandwidth=2765e9, links=1200e9),
    "v6e": Chip(flops=918e12, memory=32e9, bandwidth=1638e9, links=800e9),
}

# bfloat16 operations a second by what JAX's `device_kind` begins with; the first that fits counts. TPUs from
# above, NVIDIA's from its data sheets, without sparsity, of the boards for servers.
PEAKS = (
    ("TPU v5 lite", CHIPS["v5e"].flops),
    ("TPU v5e", CHIPS["v5e"].flops),
    ("TPU v5", CHIPS["v5p"].flops),
    ("TPU v6 lite", CHIPS["v6e"].flops),
    ("TPU v6e", CHIPS["v6e"].flops),
    ("NVIDIA H200", 989e12),
    ("NVIDIA H100 PCIe", 756e12),
    ("NVIDIA H100 NVL", 835e12),
    ("NVIDIA H100", 989e12),
    ("NVIDIA A100", 312e12),
)


def peak_flops(kind: str) -> float | None:
    """bfloat16 operations a second of a device of this `device_kind`, None where it is not known here."""
    return next((flops for name, flops in PEAKS if kind.startswith(name)), None)
