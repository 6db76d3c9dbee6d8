"""The pair network: whether two tracklets are one person; and its weights, which ship."""

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gated_lift.readers.json_file import read_object
from gated_lift.readers.npz import read_npz
from gated_lift.tracking.pairs import CHANNELS, FACTS, STEPS

SHIPPED = Path(__file__).with_name("trained") / "pairs"
# Pairs are asked about in batches of this size, filled up with zeros: one compilation for all videos.
BATCH = 32


class PairNetwork(nn.Module):
    """Temporal convolutions over both tracklets, then a dense head that also gets what is known of the gap.

    Each stage convolves, normalises over channels and halves the axis by its largest values. Returns the
    logit that both are one person: positive for yes.
    """

    channels: tuple[int, ...] = (32, 48, 64, 64)
    width: int = 5
    hidden: int = 64
    dropout: float = 0.1

    @nn.compact
    def __call__(
        self,
        series: Float[Array, "batch steps channels"],
        facts: Float[Array, "batch facts"],
        train: bool = False,
    ) -> Float[Array, " batch"]:
        x = series
        for channels in self.channels:
            x = nn.Conv(channels, (self.width,))(x)
            x = nn.gelu(nn.LayerNorm()(x))
            x = nn.max_pool(x, (2,), (2,))
        x = nn.gelu(nn.Dense(self.hidden)(x.reshape(x.shape[0], -1)))
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        x = jnp.concatenate([x, nn.gelu(nn.Dense(self.hidden)(facts))], axis=-1)
        x = nn.gelu(nn.Dense(self.hidden)(x))
        return nn.Dense(1)(x)[:, 0]


class LoadedPairs(NamedTuple):
    """A pair network with its weights and what was written beside them (settings, seed, training)."""

    network: PairNetwork
    variables: Any
    description: dict[str, Any]


def save_pairs(path: str | Path, network: PairNetwork, variables: Any, description: dict[str, Any]) -> Path:
    """Writes ``path``.npz, weights in half precision, and ``path``.json with the settings and its sha256."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    leaves = jax.tree_util.tree_leaves_with_path(variables)
    arrays = {jax.tree_util.keystr(key): np.asarray(leaf, np.float16) for key, leaf in leaves}
    weights = path.with_suffix(".npz")
    np.savez_compressed(weights, allow_pickle=False, **arrays)
    settings = {name: getattr(network, name) for name in _SETTINGS}
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    text = json.dumps({"sha256": digest, "network": settings, **description}, indent=1)
    path.with_suffix(".json").write_text(text + "\n")
    return weights


_SETTINGS = ("channels", "width", "hidden", "dropout")


@lru_cache(maxsize=4)
def load_pairs(path: Path = SHIPPED) -> LoadedPairs:
    """Reads what `save_pairs` wrote; never unpickles.

    Raises ValueError, naming the file, for weights that are not those that the description's sha256 was taken
    of, and for those that do not fit the network it describes.
    """
    weights = path.with_suffix(".npz")
    description = read_object(path.with_suffix(".json"), "a pair network's description", "restore the file")
    if hashlib.sha256(weights.read_bytes()).hexdigest() != description.get("sha256"):
        raise ValueError(f"{weights} has changed since it was saved: restore the file from its source")
    try:
        settings = {name: description["network"][name] for name in _SETTINGS}
        network = PairNetwork(**(settings | {"channels": tuple(settings["channels"])}))
        wanted = jax.eval_shape(
            network.init, jax.random.key(0), jnp.zeros((1, STEPS, CHANNELS)), jnp.zeros((1, FACTS))
        )
        keys = [jax.tree_util.keystr(key) for key, _ in jax.tree_util.tree_leaves_with_path(wanted)]
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{path.with_suffix('.json')} describes no network known here ({error!r}): restore the file"
        ) from error
    arrays = read_npz(weights, keys)
    leaves, tree = jax.tree_util.tree_flatten(wanted)
    for key, leaf in zip(keys, leaves, strict=True):
        if arrays[key].shape != leaf.shape:
            raise ValueError(
                f"{weights}: {key} has shape {arrays[key].shape} where the described network has "
                f"{leaf.shape}: the weights belong to another network"
            )
    variables = jax.tree_util.tree_unflatten(tree, [jnp.asarray(arrays[key], jnp.float32) for key in keys])
    return LoadedPairs(network, variables, description)


@lru_cache(maxsize=4)
def _compiled(network: PairNetwork) -> Any:
    return jax.jit(network.apply)


def logits(
    loaded: LoadedPairs,
    series: Float[np.ndarray, "pairs steps channels"],
    facts: Float[np.ndarray, "pairs facts"],
) -> Float[np.ndarray, " pairs"]:
    """The log odds that each pair is one person."""
    count = len(series)
    found = []
    for begin in range(0, count, BATCH):
        part = slice(begin, begin + BATCH)
        rest = begin + BATCH - min(begin + BATCH, count)
        padded = (
            np.pad(series[part], ((0, rest), (0, 0), (0, 0))),
            np.pad(facts[part], ((0, rest), (0, 0))),
        )
        found.append(np.asarray(_compiled(loaded.network)(loaded.variables, *padded)))
    return np.concatenate(found)[:count].astype(float) if found else np.zeros(0)
