"""Seeded accidents to JSON text, and what a reader makes of them."""

import json

import numpy as np

ODD = (
    *("NaN", "Infinity", "-1e999", "1e308", "-0.0", "0", "true", "null", '""', '"\\ud800"', "[]", "{}"),
    *("[[[]]]", str(2**63 - 1), "9" * 5000, "[" * 5000, "1e-320", '"1"', "-1"),
)


def damaged(text, seed):
    """A text with one to three accidents: bits, cuts, doublings, and values of other kinds."""
    rng = np.random.default_rng(seed)
    data = text.encode()
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(len(data))) if data else 0
        kind = rng.integers(6)
        if kind == 0 and data:
            data = data[:at] + bytes([data[at] ^ 1 << int(rng.integers(8))]) + data[at + 1 :]
        elif kind == 1:
            data = data[:at]
        elif kind == 2:
            data = data[:at] + data[at : at + 40] + data[at:]
        elif kind == 3:
            data = data[:at] + bytes(rng.integers(0, 256, 4).astype(np.uint8)) + data[at:]
        else:
            data = replaced(data, rng)
    return data


def replaced(data, rng):
    """The data with one value, wherever it stands in the tree, exchanged for an odd one."""
    try:
        held = json.loads(data)
    except (ValueError, RecursionError):
        return data
    places, level = [], [held]
    while level:
        part = level.pop()
        keys = list(part) if isinstance(part, dict) else range(len(part)) if isinstance(part, list) else ()
        places += [(part, key) for key in keys]
        level += [part[key] for key in keys]
    odd = ODD[rng.integers(len(ODD))]
    if not places:
        return odd.encode()
    part, key = places[rng.integers(len(places))]
    part[key] = "@odd@"
    return json.dumps(held).replace('"@odd@"', odd).encode()


def outcomes(read, path, text, seeds, named):
    """Every damage gives a value or a ValueError that names the file; which of both happened."""
    found = set()
    for seed in range(seeds):
        path.write_bytes(damaged(text, seed))
        try:
            read()
        except ValueError as error:
            found.add("refused")
            assert str(named) in str(error), f"seed {seed}: {error}"
        except Exception as error:  # whatever else a reader raises is what is looked for
            raise AssertionError(f"seed {seed}: {error!r}") from error
        else:
            found.add("read")
    return found


def damaged_bytes(data, seed):
    """Bytes with one to three accidents: bits, cuts, doublings and bytes in between."""
    rng = np.random.default_rng(seed)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(len(data))) if data else 0
        kind = rng.integers(5)
        if kind == 0:
            data = data[:at]
        elif kind == 1:
            data = data[:at] + data[at : at + 40] + data[at:]
        elif kind == 2:
            data = data[:at] + bytes(rng.integers(0, 256, 4).astype(np.uint8)) + data[at:]
        elif data:
            data = data[:at] + bytes([data[at] ^ 1 << int(rng.integers(8))]) + data[at + 1 :]
    return data


def odd_arrays(arrays, seed):
    """The arrays of an archive, one of which has become another: of another kind or shape, with NaN and
    infinities in it, an object that runs code when it is unpickled, renamed or gone.
    """
    rng = np.random.default_rng(seed)
    arrays = dict(arrays)
    name = sorted(arrays)[rng.integers(len(arrays))]
    value = np.asarray(arrays.pop(name))
    kind = rng.integers(9)
    if kind == 0:
        arrays[name] = np.array([Trap()], object)
    elif kind == 1:
        arrays[name] = value.reshape(-1)[: rng.integers(value.size + 1)]
    elif kind == 2:
        arrays[name] = value[None]
    elif kind == 3:
        arrays[name] = value.astype("U40")
    elif kind == 4 and value.dtype.kind == "f" and value.size:
        spoiled = value.copy().reshape(-1)
        spoiled[rng.integers(spoiled.size)] = rng.choice([np.nan, np.inf, -np.inf, 1e300, -1e30])
        arrays[name] = spoiled.reshape(value.shape)
    elif kind == 5:
        arrays[name] = np.zeros((0, *value.shape[1:]), value.dtype)
    elif kind == 6 and value.dtype.kind in "fiu":
        arrays[name] = value.astype(rng.choice(["int8", "uint64", "float16", "complex64", "bool"]))
    elif kind == 7:
        arrays["renamed"] = value
    return arrays


class Trap:
    """Unpickling it would say so in the environment: no reader may."""

    def __reduce__(self):
        return exec, ("import os; os.environ['GATED_LIFT_TRAP'] = 'sprung'",)
