"""Trains the pair network of `gated_lift.tracking` on generated crowds.

    python -m experiments.train_tracklets                       # the weights that ship
    python -m experiments.train_tracklets --scenes 8 --epochs 1 --output runs/pairs   # a try

Two to eight generated people cross before a hand-held camera and a detector model with misses, exchanged
sides, joints on somebody else and people who are not there. Scenes of other seeds than those that are judged.
"""

import dataclasses
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from jaxtyping import Array

from experiments import guards
from experiments.checks import COUNT, LOCAL, NOT_NEGATIVE, POSITIVE, SEED, check_numbers
from experiments.commands import run_script
from experiments.tracking_pairs import Pairs, pairs_of
from gated_lift.synthetic.crowds import CrowdRecipe, crowd
from gated_lift.tracking.figure import LIMBS
from gated_lift.tracking.network import SHIPPED, PairNetwork, save_pairs

FPS = (10.0, 15.0, 25.0, 30.0, 50.0, 60.0)


@dataclasses.dataclass(frozen=True)
class TrackletConfig:
    """How the pair network is trained, and where its weights go."""

    scenes: int = 450
    """Generated scenes to train on; half of them with two people."""
    validation: int = 60
    """Scenes of another seed, for the numbers that are printed and written beside the weights."""
    seed: int = 1100
    """Of the training scenes; validation has the next, pairs and network too."""
    epochs: int = 14
    batch: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    output: Path = SHIPPED
    """Path of the weights without the ending."""


RULES = {
    **dict.fromkeys(("scenes", "validation", "epochs", "batch"), COUNT),
    "seed": SEED,
    "learning_rate": POSITIVE,
    "weight_decay": NOT_NEGATIVE,
    "output": LOCAL,
}


def gather(seed: int, scenes: int, go_on: Callable[[], None]) -> Pairs:
    """Pairs of so many scenes; series in half precision, since they are many. go_on: called after each scene;
    raises where the run is to end.
    """
    rng = np.random.default_rng(seed)
    found, began = [], time.perf_counter()
    for index in range(scenes):
        recipe = CrowdRecipe(seed=seed, people=(2, 2) if index % 2 else (3, 8), fps=FPS)
        pairs = pairs_of(crowd(recipe, index), rng)
        found.append(pairs._replace(series=pairs.series.astype(np.float16)))
        go_on()
        if (index + 1) % 50 == 0 or index + 1 == scenes:
            rate = (index + 1) / (time.perf_counter() - began)
            count = sum(len(pairs.same) for pairs in found)
            print(f"scenes {index + 1}/{scenes}, {count} pairs, {rate:.1f} scenes/s", flush=True)
    return Pairs(*(np.concatenate(values) for values in zip(*found, strict=True)))


def vary(rng: np.random.Generator, series: np.ndarray, facts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mirrors a batch, turns its time round and hides limbs: none of it changes who is who."""
    series, facts = series.astype(np.float32), facts.copy()
    limbs = len(LIMBS)
    places, masks, presence = slice(3, 3 + 2 * limbs), slice(3 + 2 * limbs, 3 + 3 * limbs), 3 + 3 * limbs
    exchanged = np.arange(limbs).reshape(-1, 2)[:, ::-1].ravel()
    mirrored = rng.random(len(series)) < 0.5
    flipped = series[mirrored]
    flipped[..., 0] *= -1
    flipped[..., presence + 2] *= -1
    x = flipped[..., places].reshape(*flipped.shape[:2], limbs, 2)[..., exchanged, :] * np.array([-1.0, 1.0])
    flipped[..., places] = x.reshape(*flipped.shape[:2], 2 * limbs)
    flipped[..., masks] = flipped[..., masks][..., exchanged]
    series[mirrored] = flipped
    back = rng.random(len(series)) < 0.5
    turned = series[back][:, ::-1].copy()
    turned[..., [presence, presence + 1]] = turned[..., [presence + 1, presence]]
    series[back] = turned
    facts[back] = facts[back][:, [0, 2, 1, *range(3, facts.shape[1])]]
    hidden = (rng.random((len(series), limbs)) < 0.15) & (rng.random((len(series), 1)) < 0.5)
    series[..., masks] *= ~hidden[:, None]
    series[..., places] *= np.repeat(~hidden, 2, axis=-1)[:, None]
    return series, facts


def train(config: TrackletConfig) -> dict[str, Any]:
    """Trains, writes the weights and returns what is written beside them.

    SIGTERM and SIGINT let the scene or step finish; then `guards.Interrupted` is raised. There are no
    checkpoints, and unfinished weights would take the place of those that ship: what was done is lost. Raises
    ValueError for settings out of range.
    """
    check_numbers(config, RULES)
    with guards.stop_signals() as asked:
        return _train(config, asked)


def _train(config: TrackletConfig, asked: Callable[[int], signal.Signals | None]) -> dict[str, Any]:
    def go_on(done: str = "the scenes are lost") -> None:
        stopped = asked(0)
        if stopped is not None:
            kept = f"{done}, and {config.output} is as it was; the same command begins anew"
            guards.stop(stopped, kept, partial(print, flush=True))

    pairs = gather(config.seed, config.scenes, go_on)
    held = gather(config.seed + 1, config.validation, go_on)
    network = PairNetwork()
    key = jax.random.key(config.seed)
    variables = network.init(key, jnp.asarray(held.series[:1], jnp.float32), jnp.asarray(held.facts[:1]))
    batches = max(len(pairs.same) // config.batch, 1)
    steps = config.epochs * batches
    schedule = optax.warmup_cosine_decay_schedule(0.0, config.learning_rate, steps // 20 + 1, steps + 1)
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adamw(schedule, weight_decay=config.weight_decay)
    )

    @jax.jit
    def step(variables: Any, state: Any, key: Array, series: Array, facts: Array, same: Array) -> Any:
        def loss(variables: Any) -> Array:
            odds = network.apply(variables, series, facts, train=True, rngs={"dropout": key})
            return jnp.mean(optax.sigmoid_binary_cross_entropy(odds, same))

        value, gradient = jax.value_and_grad(loss)(variables)
        updates, state = optimizer.update(gradient, state, variables)
        return optax.apply_updates(variables, updates), state, value

    apply = jax.jit(network.apply)

    def judge() -> dict[str, float]:
        odds = np.concatenate(
            [
                np.asarray(
                    apply(variables, held.series[i : i + 256].astype(np.float32), held.facts[i : i + 256])
                )
                for i in range(0, len(held.same), 256)
            ]
        )
        # Numerically safe for any odds.
        entropy = np.logaddexp(0.0, np.where(held.same, -odds, odds)).mean()
        wrong = (odds > 0) != held.same
        return {"cross_entropy": float(entropy), "wrong_share": float(wrong.mean())}

    state = optimizer.init(variables)
    rng = np.random.default_rng(config.seed)
    began = time.perf_counter()
    for epoch in range(config.epochs):
        order = rng.permutation(len(pairs.same))
        losses = []
        for number in range(batches):
            index = order[number * config.batch : (number + 1) * config.batch]
            series, facts = vary(rng, pairs.series[index], pairs.facts[index])
            same = pairs.same[index].astype(np.float32)
            key, dropout = jax.random.split(key)
            variables, state, value = step(variables, state, dropout, series, facts, same)
            losses.append(value)
            done = epoch * batches + number + 1
            if done < steps:
                go_on(f"{done} of {steps} steps are lost")
        held_out = judge()
        rate = (epoch + 1) * batches / (time.perf_counter() - began)
        print(
            f"epoch {epoch + 1}/{config.epochs} loss {float(np.mean(losses)):.4f} held out "
            f"{held_out['cross_entropy']:.4f}, wrong {100 * held_out['wrong_share']:.2f} %, "
            f"{rate:.1f} steps/s",
            flush=True,
        )
    description = {
        "training": {name: value for name, value in dataclasses.asdict(config).items() if name != "output"}
        | {"fps": list(FPS), "pairs": len(pairs.same), "motion": "gated_lift.synthetic.crowds"},
        "held_out": held_out,
        "licence": "Apache-2.0: trained on generated motion alone",
    }
    path = save_pairs(config.output, network, variables, description)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
    return description


def main() -> None:
    train(tyro.cli(TrackletConfig, description=__doc__))


if __name__ == "__main__":
    run_script(main)
