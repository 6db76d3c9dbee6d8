"""What a compiled program moves, counted in its text (`jax.stages.Compiled.as_text`): bytes between devices,
and between a chip and its memory.
"""

import math
import re

# A line of a program in XLA's text: the result's type, and which collective makes it. Of those that are
# begun and awaited apart, the beginning is counted.
COLLECTIVE = re.compile(
    r"^\s*(?:ROOT )?%?[\w.-]+ = (\S.*?) (all-reduce|all-gather|all-to-all|reduce-scatter|collective-permute|"
    r"collective-broadcast|ragged-all-to-all)(-start)?\(",
    re.MULTILINE,
)
ARRAY = re.compile(r"\b([a-z]+\d*[a-z0-9]*)\[([\d,]*)\]")


def count_collectives(program: str) -> dict[str, tuple[int, float]]:
    """By kind, how many collectives a compiled program has, and the bytes of their results, from its text."""
    found: dict[str, tuple[int, float]] = {}
    for result, kind, begun in COLLECTIVE.findall(program):
        arrays = ARRAY.findall(result)
        if begun and kind != "all-reduce":
            # (operands, results, and two marks of where the transfer is)
            arrays = [array for array in arrays if array != ("u32", "")]
            arrays = arrays[len(arrays) // 2 :]
        count, before = found.get(kind, (0, 0.0))
        found[kind] = count + 1, before + sum(_bytes(dtype, shape) for dtype, shape in arrays)
    return found


INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.-]+) = (\(.*?\)|\S+) ([\w-]+)\((.*)$")
COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.-]+) .*\{$")
# Computations that an instruction does inside, whose values never reach memory.
INSIDE = re.compile(r"\b(?:calls|to_apply)=%?([\w.-]+)")
# An array's type with its layout, in which S(n) is memory on the chip beside its arithmetic units.
PLACED = re.compile(r"\b([a-z]+\d*[a-z0-9]*)\[([\d,]*)\](\{[^}]*\})?")
# Instructions that name values, move none, or are counted by what they call.
NAMING = {
    *("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "partition-id"),
    *("while", "conditional", "call"),
}


def count_traffic(program: str) -> float:
    """Bytes that a compiled program reads from and writes to a chip's main memory, from its text: operands
    and results of every instruction that lie there, a transfer's own bytes once, a loop's body once.

    XLA's own count of bytes takes a gather inside a fusion to read its whole operand for every element that
    it gathers, forty times as much in a step that draws its windows.
    """
    inside = set(INSIDE.findall(program))
    held: dict[str, float] = {}
    counted, total = True, 0.0
    for line in program.splitlines():
        begun = COMPUTATION.match(line)
        if begun:
            counted = begun[1] not in inside
        found = INSTRUCTION.match(line)
        if not found:
            continue
        name, result, kind, rest = found.groups()
        arrays = [
            (_bytes(dtype, shape), "S(" not in layout) for dtype, shape, layout in PLACED.findall(result)
        ]
        held[name] = sum(size for size, in_memory in arrays if in_memory)
        if not counted or kind in NAMING or kind.endswith(("-done", "-update")):
            continue
        if kind.endswith("-start"):
            # Both ends, of which the smaller is what is transferred, and marks of how far it is.
            total += min((size for size, _ in arrays if size > 4), default=0.0)
            continue
        operands = re.findall(r"%([\w.-]+)", rest.partition("), ")[0])
        total += held[name] + sum(held.get(operand, 0.0) for operand in operands)
    return total


def _bytes(dtype: str, shape: str) -> float:
    """Of an array by XLA's names: f32, bf16, s8, u4, c64 or pred, and sizes between commas."""
    bits = re.search(r"\d+", dtype)
    return (int(bits[0]) / 8 if bits else 1) * math.prod(map(int, filter(None, shape.split(","))))
