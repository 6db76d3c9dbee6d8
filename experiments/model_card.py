"""Prints the model card of weights: what they are, what they were trained on, and how well they do on people
whom they have not met, by occlusion, subject, kind of motion, keypoint format, camera height and hidden part.

    python -m experiments.model_card --exact cmu_single.npz cmu_pairs.npz --held-back cmu_fbx_single.npz
    python -m experiments.model_card --weights runs/mine/checkpoints --exact FILE --output mine.md \
        --repository mine
    python -m experiments.model_card --check

Without ``--weights`` all that ship are judged, for `docs/model_card.md`. ``--repository`` also writes the
weights with their card in the layout of the Hugging Face Hub. ``--check`` runs nothing: it says whether the
card in ``--output`` is of the weights that ship today. Every table comes from the code that judges elsewhere:
`evaluate`, `by_kind`, `rendered_formats`, `robustness`.
"""

import dataclasses
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro
from rich.console import Console
from rich.progress import track

from experiments import reporting
from experiments.checks import COUNT, SEED, check_numbers
from experiments.commands import run_script, tell
from experiments.judging import by_kind, rendered_formats, robustness
from experiments.judging.films import film
from experiments.judging.protocol import network_names
from experiments.judging.stretches import EvaluateConfig, Row, cut, measure, read_people, rows_of, see, spread
from gated_lift import LoadedLifter, load_lifter
from gated_lift.networks import checkpoints, weights
from gated_lift.readers import captures

KERNELS = (25, 75)  # frames
RATIO = 0.5
FINGERPRINT = "sha256 of the manifest"


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """Settings of a model card."""

    weights: tuple[str, ...] = ()
    """Names of weights that ship, or checkpoint folders; all that ship by default."""
    exact: tuple[Path, ...] = ()
    """Capture files (.npz) whose validation split everything is judged on."""
    held_back: tuple[Path, ...] = ()
    """Further capture files, whose validation split is judged by kind of motion alone."""
    stretches: int | None = None
    """Most stretches of each length and file, spread evenly over all; all by default."""
    people: int = 32
    """Most people who are judged by format, camera and hidden part, four seconds each."""
    seed: int = 0
    output: Path = Path("docs/model_card.md")
    """Where the card goes."""
    repository: Path | None = None
    """A new folder for one set of weights and its card, in the layout of the Hugging Face Hub."""
    check: bool = False
    """Only look whether the card in ``output`` is of the weights."""


RULES = {"people": COUNT, "seed": SEED}

PROSE = f"""## Data

*{weights.LICENCE_SENTENCE}*

Motion of the CMU Graphics Lab Motion Capture Database: free for all uses, commercial ones and
redistribution included; the data itself may not be resold. Keep the sentence above wherever results or
weights are published. Cameras, detections and occlusions are drawn by code; no image was used. Weights
that ship are neither trained nor chosen on subjects {", ".join(captures.CMU_VALIDATION_SUBJECTS)} and the
last salsa trials (the couple is in training with other trials): these are the people below.

## Intended use

From 2D keypoints of people in a video, who may be hidden for seconds, to their 3D joints in metres
(`gated_lift.recover`, `gated-lift`): motion analysis, animation, research. `load_lifter` takes names,
folders of checkpoints and folders from the Hugging Face Hub alike, and verifies them against their
sha256.

Not intended: to tell who somebody is, to watch people without their consent, and to measure for medicine
or safety without a check of one's own.

## Limits

- Captured adults in a studio: children, wheelchairs, walking aids, loose clothes and animals were never
  seen.
- A picture does not tell a tall person far off from a short one nearby: the error of the root is mostly
  depth, and shrinks where the height is known (`--height`).
- Who lies, stands on the hands or spins fast is rare in the data, and those who are judged do next to
  none of it. The last rows by kind of motion say what the same people cost when their motion is turned by
  code; *small* was trained on people who were turned likewise, the others were not.
- A part of the body that is never seen is a guess, and so is a body that nobody sees for seconds: the
  status and the covariance of `recover` say so.
- Detections are a model's, with correlated noise, gross errors and swaps; a real detector has other
  habits.
"""


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]], names: int = 1) -> list[str]:
    return [*reporting.markdown(columns, rows, names), ""]


def number(value: float, digits: int = 0) -> str:
    return "–" if np.isnan(value) else f"{value:.{digits}f}"


def _mean_of(earlier: str, earlier_share: float) -> str:
    return f"the weights of {earlier}, which count {earlier_share:g}"


def identity(source: str, loaded: LoadedLifter) -> list[str]:
    """What the weights are, where they come from, and what belongs to them."""
    network, described = loaded.network, loaded.description
    training = described.get("config", {})
    count = sum(leaf.size for leaf in jax.tree.leaves(loaded.variables["params"]))
    settings = {
        name: value for name, value in checkpoints.describe_lifter(network).items() if name != "num_joints"
    }
    rows = [
        ("joints in and out", loaded.skeleton.name),
        ("frames that an answer sees", f"{network.receptive_field} at {network.fps:g} a second"),
        ("later frames that it waits for", str(network.padding[1])),
        ("parameters", f"{count:,}"),
        ("network", ", ".join(f"{name} {value}" for name, value in settings.items())),
        ("trained on", ", ".join(Path(str(name)).name for name in training.get("data", ())) or "–"),
        *([("begun with the weights of", training["start_from"])] if training.get("start_from") else []),
        *([("mean with", _mean_of(**described["mixed"]))] if "mixed" in described else []),
        ("terms of that data", " ".join(described.get("licences", ("–",)))),
        (FINGERPRINT, f"`{checkpoints.fingerprint(source)}`"),
    ]
    return markdown(("", ""), [[name, str(value).replace("|", "/")] for name, value in rows], names=2)


def hidden_words(row: Row) -> str:
    """What is hidden in a row of `evaluate`."""
    what = "bodies" if row.masks == "body" else "joints"
    return f"{100 * row.ratio:.0f} %, {what}, K = {row.kernel_frames}" if row.ratio else "nothing"


def by_occlusion(config: ModelCard, name: str, loaded: LoadedLifter, console: Console) -> list[str]:
    """Every metric by what is hidden, and the main ones by subject."""
    judged = EvaluateConfig((), config.exact, ratios=(0.0, RATIO), kernel_frames=KERNELS, seed=config.seed)
    clips = read_people(judged)
    fps = one_rate(clips)
    pieces = {length: spread(some, config.stretches) for length, some in cut(clips).items()}
    seen = {length: see(judged, length, some, fps) for length, some in pieces.items()}
    rows = rows_of(name, measure(judged, name, loaded, seen, fps, console))
    metrics = {
        "PA-MPJPE": "pa_mpjpe",
        "MPJPE": "mpjpe",
        "N-MPJPE absolute": "n_mpjpe_absolute",
        "MPJVE, mm/s": "mpjve",
        "acceleration, mm/s²": "acceleration_error",
        "root": "root_error",
        "root where nothing is seen": "root_error_fully_hidden",
    }
    everyone = [row for row in rows if row.subject == "all"]
    lines = ["### By occlusion", ""]
    lines += markdown(
        ("hidden", *metrics),
        [
            [
                hidden_words(row),
                *(number(getattr(row, metric)) for metric in metrics.values()),
            ]
            for row in everyone
        ],
    )
    titles = ["subject", "seconds", "PA-MPJPE", "MPJPE", "root"]
    titles += [f"PA-MPJPE, {100 * RATIO:.0f} %, K = {kernel}" for kernel in KERNELS]
    found = {(row.subject, row.masks, row.ratio, row.kernel_frames): row for row in rows}
    lines += ["### By subject", ""]
    table = []
    for subject in sorted({row.subject for row in rows} - {"all"}):
        plain = found[subject, "joints", 0.0, KERNELS[0]]
        cells = [subject, f"{plain.frames / fps:.0f}"]
        cells += [number(value) for value in (plain.pa_mpjpe, plain.mpjpe, plain.root_error)]
        cells += [number(found[subject, "joints", RATIO, kernel].pa_mpjpe) for kernel in KERNELS]
        table.append(cells)
    return lines + markdown(titles, table)


def by_motion(config: ModelCard, name: str, loaded: LoadedLifter, console: Console) -> list[str]:
    # Couples have no kinds of their own: the first file of single people is exact, the others are beside it.
    settings = by_kind.ByKind(
        (name,), (*config.exact[:1], *config.held_back), stretches=config.stretches, seed=config.seed
    )
    judged = {name: [by_kind.judge(settings, loaded, path, console) for path in settings.data]}
    columns, rows = by_kind.table(settings, judged)
    lines = ["### By kind of motion", ""]
    return lines + markdown(columns[1:], [row[1:] for row in rows]) + [by_kind.NOTE, ""]


def by_view(config: ModelCard, loaded: LoadedLifter, console: Console) -> list[str]:
    """By keypoint format, camera and part of the body that is seen; all of the same people."""
    asked = robustness.RobustnessConfig(config.exact, people=config.people, seed=config.seed)
    people = robustness.read_people(asked)
    fps = one_rate(people)
    poses = np.concatenate([clip.poses for clip in people])
    faced = film(rendered_formats.with_face(poses), fps, config.seed, rendered_formats.SEEN)
    formats = []
    given = rendered_formats.cases(faced.keypoints, faced.missed)
    for case in track(given, description="formats", console=console):
        errors = {
            missing: rendered_formats.errors(loaded, *keypoints, faced, fps)
            for missing, keypoints in case.given.items()
        }
        formats.append(rendered_formats.row("", 0.0, case, errors)[1:2] + format_cells(errors))
    steep = [
        job
        for job in robustness.steep_jobs(people, fps, config.seed)
        if job.up is None or loaded.network.tilt
    ]
    parts = robustness.part_jobs(robustness.film_at(people, fps, config.seed), fps)
    rows = {
        job.what: robustness.judge(loaded, job)
        for job in track([*steep, *parts], description="views", console=console)
    }
    columns = ("PA-MPJPE", "root")

    def cells(job: robustness.Job) -> list[str]:
        row = rows[job.what]
        return [number(row.pose), number(row.root)]

    titles = ("keypoints", "PA-MPJPE, midpoints", "root", "PA-MPJPE, hidden", "root")
    lines = ["### By keypoint format", ""]
    lines += markdown(titles, formats)
    lines += ["Joints that a format lacks are midpoints of others (as readers give them), or hidden.", ""]
    lines += ["### By camera", ""]
    lines += markdown(
        ("camera", "height, m", *columns), [[job.what, height(job), *cells(job)] for job in steep]
    )
    lines += ["### By what is seen", ""]
    lines += markdown(("seen", *columns), [[job.what, *cells(job)] for job in parts])
    return [*lines, f"{len(people)} people of {robustness.SECONDS:g} s each, a camera each; millimetres.", ""]


def format_cells(errors: dict[Any, np.ndarray]) -> list[str]:
    """PA-MPJPE and root with midpoints and with missing joints hidden, which is the same for a format that
    lacks none.
    """
    means = {way: [number(float(np.nanmean(values))) for values in each] for way, each in errors.items()}
    return [*means["midpoint"], *means.get("hidden", ["", ""])]


def height(job: robustness.Job) -> str:
    """Of the camera, which stands still, above the floor."""
    degrees = re.match(r"(\d+) degrees down", job.what)
    return f"{robustness.height_of(float(degrees[1]) if degrees else 0.0):.1f}"


def one_rate(clips: Sequence[Any]) -> float:
    rates = {clip.fps for clip in clips}
    if len(rates) > 1:
        raise ValueError(f"exact holds clips at {sorted(rates)} frames/s: give files of one rate")
    return rates.pop()


def section(config: ModelCard, name: str, source: str, console: Console) -> list[str]:
    """Everything about one set of weights."""
    loaded = load_lifter(source)
    return [
        f"## {name}",
        "",
        *identity(source, loaded),
        *by_occlusion(config, name, loaded, console),
        *by_motion(config, name, loaded, console),
        *by_view(config, loaded, console),
    ]


def front_matter(name: str) -> list[str]:
    """What the Hugging Face Hub reads of a card."""
    tags = ("human-pose-estimation", "3d-pose", "motion-capture", "jax", "flax")
    lines = [
        "---",
        "license: apache-2.0",
        "library_name: gated-lift",
        f"model_name: gated-lift {name}",
        "tags:",
    ]
    return [*lines, *(f"- {tag}" for tag in tags), "---", ""]


def stale(config: ModelCard, sources: dict[str, str]) -> list[str]:
    """What the card in ``output`` lacks, or says of other weights than today's."""
    text = config.output.read_text(encoding="utf-8") if config.output.is_file() else ""
    found = {}
    for section in text.split("\n## ")[1:]:
        told = re.search(rf"{FINGERPRINT} \| `(\w+)`", section)
        if told:
            found[section.partition("\n")[0]] = told[1]
    return [
        f"{name} is {'of other weights' if name in found else 'missing'}"
        for name, source in sources.items()
        if found.get(name) != checkpoints.fingerprint(source)
    ]


def write_card(config: ModelCard) -> None:
    """Judges, and writes the card. Raises ValueError for settings that cannot be meant."""
    check_numbers(config, RULES)
    chosen = config.weights or tuple(weights.SHIPPED)
    names = network_names([Path(each) for each in chosen], ())
    sources = dict(zip(names, chosen, strict=True))
    console = reporting.console()
    if config.check:
        wrong = stale(config, sources)
        if wrong:
            raise ValueError(f"{config.output}: {'; '.join(wrong)}: write the card again")
        console.print(f"{config.output} is of {', '.join(names)} as they are")
        return
    if not config.exact:
        raise ValueError("exact is empty: name the capture files to judge on")
    if config.repository is not None and len(chosen) != 1:
        raise ValueError(f"repository takes one set of weights, weights has {len(chosen)}: name one")
    if config.repository is not None and config.repository.exists() and any(config.repository.iterdir()):
        raise ValueError(f"repository {config.repository} is not empty: give a new folder")
    lines = ["# Model card", "", *head(config, names), PROSE]
    for name, source in sources.items():
        lines += section(config, name, source, console)
    text = "\n".join(lines).rstrip() + "\n"
    config.output.parent.mkdir(parents=True, exist_ok=True)
    config.output.write_text(text, encoding="utf-8")
    console.print(f"wrote {config.output}")
    if config.repository is not None:
        (name,) = names
        checkpoints.publish(sources[name], config.repository, "\n".join(front_matter(name)) + text)
        console.print(f"wrote {config.repository}")


def head(config: ModelCard, names: Sequence[str]) -> list[str]:
    """How the card was made, without folders of this machine."""
    flags = ["--exact", *(path.name for path in config.exact)]
    flags += ["--held-back", *(path.name for path in config.held_back)] if config.held_back else []
    flags += ["--weights", *names] if config.weights else []
    flags += ["--stretches", str(config.stretches)] if config.stretches else []
    flags += ["--people", str(config.people)] if config.people != ModelCard.people else []
    return [
        "Written by the command, tables and all (errors in millimetres, validation people, seed "
        f"{config.seed}):",
        "",
        "```",
        f"python -m experiments.model_card {' '.join(flags)}",
        "```",
        "",
    ]


def main() -> None:
    config = tyro.cli(ModelCard, description=__doc__)
    try:
        write_card(config)
    except (ValueError, OSError) as error:
        tell("model_card", error)
        sys.exit(2)


if __name__ == "__main__":
    run_script(main)
