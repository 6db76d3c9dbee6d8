"""Training configurations. Every name here is a subcommand of ``python -m experiments.train``."""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from experiments.checks import (
    COUNT,
    LOCAL,
    NOT_NEGATIVE,
    POSITIVE,
    SEED,
    SHARE,
    VIEW_RULES,
    WHOLE,
    Rule,
    each,
    one_of,
    rising,
)
from gated_lift.cameras import VirtualCamera
from gated_lift.networks.attention import AttentionLifter
from gated_lift.networks.factorized import FactorizedLifter
from gated_lift.networks.sequence import SequenceLifter
from gated_lift.networks.settings import NetworkSettings, settings_of
from gated_lift.networks.temporal import TemporalLifter
from gated_lift.occlusion import MaskDistribution
from gated_lift.synthetic.detector import DetectorConfig
from gated_lift.synthetic.hiding import HidingDistribution
from gated_lift.synthetic.passing import PassingDistribution

# The network that the project trains unless it is told otherwise: what hides is filled and its age told, and
# the person is seen in a frame of their own.
OURS = settings_of(
    TemporalLifter,
    channels=256,
    filter_widths=(3, 3, 3),
    dropout=0.0,
    framing="person",
    mask_channels="age",
    fade_seconds=(0.08, 0.32),
)

# Up to 60 degrees steep, with focal lengths and places in the picture of any video.
WIDE_CAMERA = VirtualCamera(
    focal=(700.0, 2000.0),
    distance=(4.5, 12.0),
    elevation=(0.3, 8.0),
    roll_std=math.radians(10.0),
    aim_jitter=(0.8, 0.6),
)


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a training run; it is written to the run folder as config.json."""

    data: tuple[Path, ...] = ()
    """Files of motion (.npz, .bvh, .c3d), at any frame rate. Without any, generated motion is used: for a
    smoke test, not for results."""
    data_shares: tuple[float, ...] = ()
    """How often windows are drawn from each file of ``data``; by default as often as it has frames."""
    human36m: Path | None = None
    """VideoPose3D's data_3d_h36m.npz: motion of S1, S5, S6, S7 and S8 before virtual cameras, as ``data``."""
    keypoints_2d: Path | None = None
    """Its 2D file: the recorded keypoints and the real cameras take the virtual ones' place."""
    cameras: Path | None = None
    """Camera file (.json), or the ground-truth 2D file (.npz) to find the cameras from; by default
    keypoints_2d."""
    allow_pickle: bool = False
    """Read VideoPose3D's files, which hold pickles: only for files that you trust."""
    exclude_subjects: tuple[str, ...] = ()
    """Subjects kept out of training besides the validation split, to choose settings on."""
    network: NetworkSettings = OURS
    """Of one of the kinds in `gated_lift.networks.settings`: the configuration decides of which, flags only
    what is in it."""
    loss: str = "squared"
    """One of `experiments.training.losses`: squared, distance, sequence, absolute; or depth_weighted, for a
    network whose target is the root."""
    velocity_weight: float = 0.0
    """Weight of ‖(X̂ₜ₊₁ − X̂ₜ) − (X*ₜ₊₁ − X*ₜ)‖² beside the loss, where a window has consecutive outputs. A
    metre a frame is much: at 50 frames/s, weights of order 100 make this term as large as Eq. 3."""
    masks: MaskDistribution = field(default_factory=MaskDistribution)
    hiding: HidingDistribution = field(default_factory=HidingDistribution)
    """What is hidden besides: what lies beyond a line, limbs, sides, and joints that a format lacks."""
    passing: PassingDistribution = field(default_factory=PassingDistribution)
    """Somebody else, of another window, who passes before the person and covers joints."""
    camera: VirtualCamera = field(default_factory=VirtualCamera)
    wide_share: float = 0.0
    """Share of the windows that are seen by ``wide_camera``."""
    wide_camera: VirtualCamera = WIDE_CAMERA
    """Higher, steeper, rolled, with people farther off the axis."""
    level_share: float = 0.5
    """Share of the windows whose network is told which way is up, if it reads that (``network.tilt``)."""
    confidence_share: float = 0.5
    """Share of the windows whose network is told the detector's confidence, if it reads that
    (``network.confidence``)."""
    slow_share: float = 0.0
    """Share of the windows that are of a video of fewer frames a second than the network reads."""
    slow_rates: tuple[float, float] = (10.0, 45.0)
    """Of how many, frames a second, at least and at most; drawn with even logarithms."""
    shifted_share: float = 0.0
    """Share of the windows whose keypoints are those of another detector's joints
    (`variation.sample_shift`); targets stay where they are captured."""
    detector: DetectorConfig = field(default_factory=DetectorConfig)
    body_spread: float = 0.0
    """How much the bodies of the windows differ from those captured: the relative standard deviation of the
    lengths of thighs, shins, trunk and so on (`variation.sample_proportions`)."""
    recombined_share: float = 0.0
    """Share of the windows whose legs get the trunk, head and arms of another window
    (`variation.exchange_upper_body`): movements that nobody made."""
    turned_share: float = 0.0
    """Share of the windows whose bones are turned, by the same angles on all frames."""
    turn_spread: float = 0.2
    """By how much, radians (`variation.sample_turns`)."""
    spun_share: float = 0.0
    """Share of the windows whose person turns about the vertical besides, fast (`variation.spin`)."""
    laid_share: float = 0.0
    """Share of the windows whose person is laid down, any way round, or put head down
    (`variation.lay_down`)."""
    epochs: float = 80
    """An epoch is as many output frames as the training set has."""
    batch_frames: int = 1024
    """Output frames a step, over all devices."""
    chunk_frames: int = 1
    """Output frames a window: 1 is the paper's strided form; more share the work of overlapping fields."""
    chunk_stride: int = 1
    """Frames between a window's outputs: a product of the first filter widths. Frames far apart are more
    nearly independent samples, and the layers below stride instead of being dilated."""
    context_frames: int = 30
    """How far beyond either end of a window its gaps are filled from."""
    context_stride: int = 10
    """Frames between those that are looked at there; they cost as much as the window's own."""
    learning_rate: float = 1e-3
    learning_rate_decay: float = 0.95
    """Factor an epoch."""
    learning_rate_drops: tuple[float, ...] = ()
    """Epochs after which the learning rate is a tenth, besides."""
    optimizer: Literal["amsgrad", "adam"] = "amsgrad"
    batch_norm_rate: tuple[float, float] = (0.1, 0.001)
    """Share of the new batch in the running statistics, at the start and at the end (geometric between)."""
    seed: int = 0
    parallel: Literal["jit", "pmap"] = "jit"
    """jit shards the batch over all devices of all hosts; pmap is the second way to run the same step."""
    distributed: bool = False
    """Several processes: start the same command in each. A TPU pod, SLURM and the like say who the others
    are; elsewhere the three flags that follow do."""
    coordinator: str | None = None
    """Address and port at which the first process listens for the others, such as 10.0.0.1:1234."""
    processes: int | None = None
    """How many processes there are."""
    process_id: int | None = None
    """Which of them this is, from 0."""
    heartbeat_seconds: int = 60
    """A process that is silent for so long is taken for dead, and the others end; start them again with
    --resume."""
    compile_for: tuple[str, ...] = ()
    """Train nothing: compile the step for these TPU slices (v5e:4x4, v5p:2x2x1, v6e:2x4, …), without a TPU
    and without data, and print what it costs there and what fits. Needs libtpu: gated-lift[tpu]."""
    compute_dtype: Literal["float32", "bfloat16"] = "float32"
    checkpoint_every: int = 1000
    """Steps between checkpoints."""
    log_every: int = 50
    """Steps between lines of the metrics log."""
    validation_windows: int = 256
    """Windows that the network is judged on after every epoch, always the same, of the people of
    exclude_subjects, or without any of the training people; the weights that do best are kept in best/. The
    validation split is not touched. 0: none."""
    time_drawing: bool = True
    """Compile and time the drawing of a batch by itself before the first step, so that the log can tell it
    from the rest of a step."""
    start_from: str | None = None
    """Weights to begin with, by the name of some that ship or a checkpoint folder; by default random ones.
    The network may read more than they did, and be causal where they were not."""
    tensorboard: bool = False
    """Write TensorBoard's event files to events/ too (extra ``tensorboard``)."""
    wandb: bool = False
    """Log to Weights & Biases too, where it is installed."""
    profile: bool = False
    """Record a trace of ten steps to profile/."""
    output: Path = Path("runs/train")
    """Run folder: config.json, metrics.jsonl, curves.png, checkpoints/, best/."""
    mirror: str = ""
    """Where to copy every complete checkpoint besides, such as gs://bucket/run: with --resume a machine with
    an empty disk goes on from there."""
    resume: bool = False
    """Go on from the newest checkpoint in the run folder."""
    fall_back: bool = False
    """With resume: where the newest checkpoint is damaged, set it aside and go on from the newest that is
    intact."""


# What is drawn: of masks, cameras and detectors.
SEEN_RULES = {
    "masks.masked_share": SHARE,
    "masks.ratio": rising(SHARE),
    "masks.kernel_frames": each(COUNT),
    "masks.whole_body_share": SHARE,
    **VIEW_RULES,
}
TRAIN_RULES = {
    "body_spread": NOT_NEGATIVE,
    "recombined_share": SHARE,
    "turned_share": SHARE,
    "turn_spread": NOT_NEGATIVE,
    "data_shares": each(NOT_NEGATIVE, least=0),
    **dict.fromkeys(("wide_share", "level_share", "shifted_share", "confidence_share", "slow_share"), SHARE),
    **dict.fromkeys(("spun_share", "laid_share", "passing.share", "passing.snapped"), SHARE),
    **dict.fromkeys(("passing.aside", "passing.speed"), NOT_NEGATIVE),
    "passing.nearer": rising(NOT_NEGATIVE),
    **dict.fromkeys(("hiding.hidden_share", "hiding.lasting", "hiding.lacking_share"), SHARE),
    **{f"hiding.{kind}": NOT_NEGATIVE for kind in ("line", "branch", "side", "whole")},
    "slow_rates": rising(Rule(lambda rate: 5 <= rate <= 50, "give frames a second, 5 to 50")),
    "velocity_weight": NOT_NEGATIVE,
    "epochs": POSITIVE,
    "batch_frames": COUNT,
    "chunk_frames": COUNT,
    "chunk_stride": COUNT,
    "context_frames": WHOLE,
    "context_stride": COUNT,
    "learning_rate": POSITIVE,
    "learning_rate_decay": POSITIVE,
    "learning_rate_drops": each(POSITIVE, least=0),
    "optimizer": one_of("amsgrad", "adam"),
    "batch_norm_rate": each(Rule(lambda rate: 0 < rate <= 1, "give a share above 0, at most 1"), least=2),
    "seed": SEED,
    "parallel": one_of("jit", "pmap"),
    "compute_dtype": one_of("float32", "bfloat16"),
    "checkpoint_every": COUNT,
    "log_every": COUNT,
    "validation_windows": WHOLE,
    "heartbeat_seconds": COUNT,
    "output": LOCAL,
    **SEEN_RULES,
}


@dataclass(frozen=True)
class PathConfig:
    """What a script draws that learns through the trajectory solve: windows of consecutive frames, whose path
    is solved as a whole.
    """

    data: tuple[Path, ...] = ()
    """Files of motion (.npz, .bvh, .c3d), of which the training split is used. Without any, generated
    motion."""
    exclude_subjects: tuple[str, ...] = ()
    """Subjects kept out besides the validation split, to choose settings on."""
    windows: int = 8
    """Windows a step."""
    frames: int = 100
    """Consecutive frames of a window."""
    masks: MaskDistribution = field(default_factory=MaskDistribution)
    camera: VirtualCamera = field(default_factory=VirtualCamera)
    detector: DetectorConfig = field(default_factory=DetectorConfig)
    seed: int = 0

    def as_training(self) -> TrainConfig:
        """What `experiments.train` has to know to draw the windows."""
        return TrainConfig(
            data=self.data,
            exclude_subjects=self.exclude_subjects,
            masks=self.masks,
            camera=self.camera,
            detector=self.detector,
            batch_frames=self.windows * self.frames,
            chunk_frames=self.frames,
            chunk_stride=1,
        )


PATH_RULES = {"windows": COUNT, "frames": COUNT, "seed": SEED, **SEEN_RULES}


SMOKE = TrainConfig(
    network=OURS.replace(channels=32),
    epochs=3,
    batch_frames=256,
    chunk_frames=16,
    checkpoint_every=20,
    log_every=5,
    output=Path("runs/smoke"),
)
# Two cores see few samples, so each has to count: small batches take more steps, and every output has a
# window, a camera and a mask of its own. With fewer epochs than the paper's 80 the rate falls faster, to
# about the same end.
SMALL = TrainConfig(
    epochs=40,
    learning_rate_decay=0.915,
    batch_frames=256,
    checkpoint_every=5000,
    output=Path("runs/small"),
)
# Settings that the paper leaves open are chosen with this one: smaller, shorter, with outputs nine frames
# apart that share their windows, and judged on two training subjects that it does not see, so that the
# validation split decides nothing.
ABLATION = replace(
    SMALL,
    network=OURS.replace(channels=128),
    epochs=4,
    learning_rate_decay=0.5,
    batch_frames=128,
    chunk_frames=8,
    chunk_stride=9,
    exclude_subjects=("35", "135"),
    output=Path("runs/ablation"),
)
# SMALL's network, for half as long again, on movements that nobody made too and on more masks: what is best
# both where nothing and where half is hidden, chosen on subjects 35 and 135.
VARIED = replace(
    SMALL,
    epochs=60,
    learning_rate_decay=0.9425,
    masks=MaskDistribution(masked_share=0.7),
    recombined_share=0.5,
    turned_share=0.5,
    output=Path("runs/varied"),
)
# For real video: people of every file that is given, seen steeply and rolled too, and hidden as tables,
# picture edges, their own sides and detectors' formats hide them. Give cmu_single, cmu_pairs,
# cmu_fbx_single and cmu_fbx_pairs, in this order; subjects 35, 135, 113 and 143 are kept to choose on.
WILD = replace(
    SMALL,
    network=OURS.replace(tilt=True),
    data_shares=(0.35, 0.08, 0.52, 0.05),
    exclude_subjects=("35", "135", "113", "143"),
    epochs=8,
    learning_rate_decay=0.64,
    masks=MaskDistribution(masked_share=0.6),
    hiding=HidingDistribution(hidden_share=0.4, lacking_share=0.4),
    wide_share=0.4,
    shifted_share=0.5,
    recombined_share=0.5,
    turned_share=0.5,
    detector=DetectorConfig(outlier_rate=0.01, swap_rate=0.01),
    context_frames=100,
    context_stride=20,
    output=Path("runs/wild"),
)
# WILD's network reads the detector's confidence too, and sees people of slower videos and from nearer, more
# rolled cameras: begun with WILD's weights, for three quarters as long. `--start-from` is to name these.
WILDER = replace(
    WILD,
    network=WILD.network.replace(confidence=True),
    wide_camera=WIDE_CAMERA._replace(distance=(3.0, 12.0), roll_std=math.radians(15.0)),
    slow_share=0.3,
    learning_rate=5e-4,
    learning_rate_decay=0.57,
    epochs=6,
    seed=1,
    output=Path("runs/wilder"),
)
# Somebody may pass before the person and take their joints, and who is filmed may spin or lie: begun with
# WILDER's weights, for an hour more.
CROWDED = replace(
    WILDER,
    passing=PassingDistribution(share=0.25),
    spun_share=0.08,
    laid_share=0.08,
    learning_rate_decay=0.55,
    epochs=7,
    seed=3,
    output=Path("runs/crowded"),
)
# The same for a stream, whose answers wait for no later frame: begun with WILDER's weights.
WILD_CAUSAL = replace(
    WILDER,
    network=WILDER.network.replace(causal=True),
    learning_rate_decay=0.51,
    epochs=5,
    seed=2,
    output=Path("runs/wild_causal"),
)
# For a stream: a frame's answer waits for no later frame. VARIED's draws in SMALL's time.
CAUSAL = replace(
    VARIED,
    network=OURS.replace(causal=True),
    epochs=40,
    learning_rate_decay=0.915,
    output=Path("runs/causal"),
)
# What the network reads as the paper writes it: zeros and bits, on the screen.
AS_WRITTEN = OURS.replace(fill="zero", framing="screen", mask_channels="coordinate", fade_seconds=())
PAPER = TrainConfig(
    network=AS_WRITTEN.replace(channels=1024, filter_widths=(3, 3, 3, 3, 3), dropout=0.25),
    context_frames=0,
    output=Path("runs/paper"),
)
# The rivals, each with its authors' loss, optimiser and shape of schedule, in what a core does in twenty-five
# minutes: so they are smaller, and their rates higher. VideoPose3D's plain network is SMALL with the gates
# off and its own loss, a distance; it could have its framing too, the screen, and is worse for it.
#
# Hossain & Little train 1024 channels with Adam at 1e-5, × 0.96 every 100 000 steps, for 100 epochs in
# batches of 32 windows. Here it is 256 channels and a rate that falls from 1e-3 to a hundredth of that, epoch
# by epoch.
HOSSAIN = TrainConfig(
    network=settings_of(SequenceLifter, channels=256),
    loss="sequence",
    optimizer="adam",
    epochs=30,
    batch_frames=160,
    chunk_frames=5,
    learning_rate=1e-3,
    learning_rate_decay=0.86,
    checkpoint_every=5000,
    output=Path("runs/hossain"),
)
# Lin & Lee train 256 and 1024 channels with Adam at 1e-4 and batches of 256 windows that begin five frames
# apart, for 100 epochs, with a tenth of the rate after 60 and after 85 of them. Here it is 128 and 512
# channels, from 1e-3, in batches of 32 windows that begin anywhere; an epoch has a tenth of their windows,
# because it counts frames, which lie in ten of those.
LIN = TrainConfig(
    network=settings_of(FactorizedLifter, features=128, hidden=512),
    loss="absolute",
    optimizer="adam",
    epochs=100,
    batch_frames=1600,
    chunk_frames=50,
    learning_rate=1e-3,
    learning_rate_decay=1.0,
    learning_rate_drops=(60, 85),
    checkpoint_every=2000,
    output=Path("runs/lin"),
)
# Of the years since the paper: attention over joints and frames, in what a core does in about half an hour.
# Adam from 1e-3, which falls to 3 % of that, epoch by epoch.
ATTENTION = TrainConfig(
    network=settings_of(AttentionLifter),
    loss="distance",
    optimizer="adam",
    epochs=40,
    batch_frames=16 * 27,
    chunk_frames=27,
    learning_rate=1e-3,
    learning_rate_decay=0.915,
    checkpoint_every=5000,
    output=Path("runs/attention"),
)
# VideoPose3D trains its trajectory network beside the poses', with the same settings but 1/z in the loss.
TRAJECTORY = replace(
    SMALL,
    network=OURS.replace(gating="none", framing="screen", fade_seconds=(), target="root"),
    loss="depth_weighted",
    output=Path("runs/trajectory_network"),
)

CONFIGS = {
    "smoke": ("A minute on two cores, generated motion only: does everything run?", SMOKE),
    "small": ("27 frames, 256 channels: about forty minutes on one core.", SMALL),
    "varied": ("The same on movements that nobody made too: about an hour on one core.", VARIED),
    "wild": ("For real video: more people, views and ways to be hidden, about an hour.", WILD),
    "wilder": ("WILD's second half, with confidence and slower videos: fifty minutes.", WILDER),
    "crowded": ("WILDER's third part, with passers-by, spins and people who lie: an hour.", CROWDED),
    "wild_causal": ("WILDER for a network that reads no later frame: forty minutes.", WILD_CAUSAL),
    "causal": ("VARIED's draws for a network that reads no later frame: forty minutes.", CAUSAL),
    "ablation": (
        "27 frames, 128 channels, without subjects 35 and 135: to choose settings on those.",
        ABLATION,
    ),
    "hossain": ("A rival, Hossain & Little's sequence-to-sequence LSTM.", HOSSAIN),
    "lin": ("A rival, Lin & Lee's trajectory-space factorization.", LIN),
    "attention": ("A rival of the years since, attention over joints and frames.", ATTENTION),
    "trajectory": ("A rival for the root alone, VideoPose3D's trajectory network.", TRAJECTORY),
    "paper": ("The paper's network, 243 frames and 1024 channels, 80 epochs: for a GPU or TPU.", PAPER),
}
