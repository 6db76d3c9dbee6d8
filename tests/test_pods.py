"""What a step costs on a TPU slice: the arithmetic on numbers made up for it, and one compilation."""

import dataclasses
import importlib.util
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.training import pods, programs
from experiments.training.configs import PAPER, SMOKE

CHIP = pods.Chip(flops=100.0, memory=1000.0, bandwidth=10.0, links=4.0)
SMALL = pods.Costs(
    frames=8,
    flops=200.0,
    read=50.0,
    arguments=60.0,
    temporaries=30.0,
    outputs=10.0,
    program=0.0,
    collectives={"all-reduce": (2, 8.0)},
)
# Twice the batch: the weights' 20 operations and 10 bytes, and what they hold, stay.
LARGE = SMALL._replace(frames=16, flops=380.0, read=90.0, temporaries=70.0)


def test_costs_lie_on_the_line_through_two_batches():
    assert pods.at_batch(SMALL, LARGE, 8) == SMALL
    between = pods.at_batch(SMALL, LARGE, 12)
    assert (between.flops, between.read, between.held) == (290.0, 70.0, 120.0)
    assert between.collectives == {"all-reduce": (2, 8.0)}
    fixed = pods.at_batch(SMALL, LARGE, 0)
    assert (fixed.flops, fixed.read) == (20.0, 10.0)
    assert fixed.temporaries == 0  # the line's −10: nothing is below zero
    more = LARGE._replace(collectives={"all-gather": (2, 4.0)})
    assert pods.at_batch(SMALL, more, 12).collectives == {"all-reduce": (1, 4.0), "all-gather": (1, 2.0)}


def test_the_largest_batch_fills_a_chips_memory():
    # 100 bytes at 8 frames and 5 more a frame.
    assert pods.largest_batch(SMALL, LARGE, 1000.0, 1) == 188
    assert pods.largest_batch(SMALL, LARGE, 1000.0, 16) == 176
    assert pods.largest_batch(SMALL, LARGE, 10.0, 1) == 0
    assert pods.largest_batch(SMALL, LARGE._replace(temporaries=30.0), 1000.0, 1) is None


def test_a_step_takes_its_products_or_its_memory_and_its_exchange():
    found = pods.roofline(SMALL, CHIP, chips=4)
    # An all-reduce of 8 bytes sends twice three quarters of them over links of 2 bytes a second out.
    assert found == (2.0, 5.0, 6.0) and found.seconds == 11.0 and found.bound == "exchange"
    gathered = SMALL._replace(collectives={"all-gather": (1, 8.0)})
    assert pods.roofline(gathered, CHIP, chips=4).exchange == 3.0
    assert pods.roofline(SMALL, CHIP, chips=1).exchange == 0.0


def test_more_chips_pay_until_half_of_a_step_is_what_they_do_not_share():
    # Per step: 1 s of weights and 6 s of exchange stay; 8 frames on 4 chips take 4 s, 16 s on one.
    assert pods.scaling_limit(SMALL, LARGE, CHIP, 4, 8) == pytest.approx(16 / 7)
    assert pods.scaling_limit(SMALL, LARGE, CHIP, 4, 80) == pytest.approx(160 / 7)
    free = SMALL._replace(flops=0.0, read=0.0, collectives={})
    assert math.isinf(pods.scaling_limit(free, free._replace(frames=16, read=40.0), CHIP, 4, 8))


PROGRAM = """
  %all-reduce.75 = (f32[8]{0:T(128)S(1)}, bf16[2,3]{1,0:T(8,128)}) all-reduce(%a, %b), channel_id=15
  ROOT %all-reduce.1 = f32[]{:T(128)} all-reduce(%c), to_apply=%add
  %all-reduce-start = f32[4]{0} all-reduce-start(%d), to_apply=%add
  %all-reduce-done = f32[4]{0} all-reduce-done(%all-reduce-start)
  %cp = (pred[4]{0}, pred[4]{0}, u32[]{:S(2)}, u32[]{:S(2)}) collective-permute-start(%e)
  %ag = ((f32[2]{0}), (f32[8]{0})) all-gather-start(%f), dimensions={0}
  %fusion.all-reduce = f32[9]{0} fusion(%all-reduce.1), kind=kLoop
"""


def test_collectives_are_counted_in_a_programs_text():
    assert programs.count_collectives(PROGRAM) == {
        "all-reduce": (3, 8 * 4 + 6 * 2 + 4 + 4 * 4),
        "collective-permute": (1, 4),
        "all-gather": (1, 32),
    }


TRAFFIC = """
%fused_computation.1 (param: f32[1000]) -> f32[1000] {
  %param = f32[1000]{0} parameter(0)
  ROOT %inner = f32[1000]{0} add(%param, %param)
}

%add.2 (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  ROOT %sum = f32[] add(%a, %a)
}

%body (carried: (f32[8])) -> (f32[8]) {
  %carried = (f32[8]{0}) parameter(0)
  %element = f32[8]{0} get-tuple-element(%carried), index=0
  %next = f32[8]{0} negate(%element)
  ROOT %again = (f32[8]{0}) tuple(%next)
}

ENTRY %main (bank: f32[1000]) -> f32[1000] {
  %bank = f32[1000]{0:T(1024)} parameter(0)
  %copy-start = (f32[1000]{0:T(1024)S(1)}, f32[1000]{0:T(1024)}, u32[]{:S(2)}) copy-start(%bank)
  %copy-done = f32[1000]{0:T(1024)S(1)} copy-done(%copy-start)
  %slice-start = ((f32[1000]{0}), f32[10]{0:S(1)}, s32[]{:S(2)}) slice-start(%bank), slice={[0:10]}
  %fusion = f32[1000]{0:T(1024)} fusion(%copy-done, %bank), kind=kLoop, calls=%fused_computation.1
  %sum.1 = f32[]{:T(128)} reduce(%fusion, %bank), dimensions={0}, to_apply=%add.2
  %loop = (f32[8]{0}) while(%tuple), condition=%done, body=%body
}
"""


def test_memory_traffic_is_counted_in_a_programs_text():
    transferred = 4000 + 40
    fusion = 4000 + 4000  # its result and the operand that is not on the chip
    reduced = 4 + 2 * 4000
    assert programs.count_traffic(TRAFFIC) == transferred + fusion + reduced + 2 * 32


def test_the_report_names_what_fits_and_what_does_not():
    per_chip = {"flops": 8e12, "read": 6e9, "arguments": 1e9, "temporaries": 4e9, "outputs": 0.0}
    small = SMALL._replace(frames=1024, collectives={"all-reduce": (20, 1.4e8)}, **per_chip)
    large = small._replace(frames=2048, flops=1.6e13, read=1.1e10, temporaries=8e9)
    lines, rows = pods.describe("v5e:2x2", 4, small, large, 0.9 * 4 * 8e12 / 1024, 1)
    assert "90% of them the model's" in lines[1]
    assert "5 GB of 16" in lines[2] and "20 all-reduce, 140 MB" in lines[3]
    assert lines[-1].endswith("3,840 frames")
    first, second = (dict(zip(pods.COLUMNS, row, strict=True)) for row in rows)
    assert first["bound by"] == "computing" and first["a chip"] == "256" and first["GB a chip"] == "5.00"
    seconds = 8e12 / 197e12 + 2 * 1.4e8 * 0.75 / 200e9
    assert first["frames/s, at most"] == f"{1024 / seconds:,.0f}"
    assert second["GB a chip"] == "65.00, too much" and second["frames/s, at most"] == "–"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"compile_for": ("v5e:2x2",)}, "needs libtpu.*pip install 'gated-lift\\[tpu\\]'"),
        ({"compile_for": ("v9:2x2",)}, "compile_for is v9:2x2: the published peaks of v5e, v5p, v6e"),
        ({"compile_for": ("v5e:2x2",), "parallel": "pmap"}, "parallel is pmap: compile_for is for jit"),
    ],
)
def test_what_cannot_be_compiled_is_told_on_one_line(changed, words, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert pods.run(dataclasses.replace(PAPER, output=tmp_path / "run", **changed)) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1 and not said.out and not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match=words):
        pods.report(dataclasses.replace(PAPER, **changed))


def test_a_slice_is_compiled_for_twice_and_told(monkeypatch, capsys):
    compiled = []

    def compile_step(config, devices):
        compiled.append(config.batch_frames)
        if config.batch_frames > 2048:
            raise pods.DoesNotFitError("batch_frames")
        return SMALL._replace(frames=config.batch_frames, temporaries=1e6 * config.batch_frames)

    monkeypatch.setattr(pods, "slice_devices", lambda topology: range(4))
    monkeypatch.setattr(pods, "compile_step", compile_step)
    monkeypatch.setattr(pods, "forward_flops", lambda config: 0.1)
    config = dataclasses.replace(PAPER, compile_for=("v5e:2x2", "v6e:2x2"))
    assert pods.run(config) == 0
    assert compiled == [1024, 2048] * 2
    said = capsys.readouterr().out
    assert "| v5e:2x2 | 4 | 1,024 |" in said and "| v6e:2x2 | 4 | 16,384 |" in said
    compiled.clear()
    # A batch that fits alone has half of it for company; SMOKE's windows are of 16 frames.
    pods.compile_twice(dataclasses.replace(config, batch_frames=2048), range(4))
    assert compiled == [2048, 4096, 1024]
    with pytest.raises(pods.DoesNotFitError):
        pods.compile_twice(dataclasses.replace(SMOKE, batch_frames=64), range(4))
    assert compiled[3:] == [64, 64 * 4 * 16]
    assert pods.run(dataclasses.replace(config, batch_frames=1022)) == 2
    assert "which 4 devices cannot share evenly" in capsys.readouterr().err


@pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None,
    reason="libtpu, which compiles for TPUs, is not installed: pip install 'gated-lift[tpu]'",
)
def test_a_step_is_compiled_for_a_slice_that_is_not_there(tmp_path):
    flags = ["--network.channels", "8", "--compile-for", "v5e:2x2", "--output", str(tmp_path / "run")]
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run(
        [sys.executable, "-m", "experiments.train", "smoke", *flags],
        cwd=Path(__file__).parents[1],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "v5e:2x2: 4 chips, compiled at 256 and 4,096 frames" in done.stdout
    assert " all-reduce, " in done.stdout and "| v5e:2x2 | 4 | 1,024 | 256 |" in done.stdout
    assert not list(tmp_path.iterdir())
