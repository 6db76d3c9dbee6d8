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
        except Exception as error:
            raise AssertionError(f"seed {seed}: {error!r}") from error
        else:
            found.add("read")
    return found
