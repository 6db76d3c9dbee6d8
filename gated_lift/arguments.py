"""Checks of what callers hand over that many functions share."""

from typing import Any

import numpy as np


def refuse_masked(name: str, values: Any) -> None:
    """Raises ValueError, naming the argument and the mend, for one of NumPy's masked arrays.

    JAX takes none, and NumPy's own functions would drop the mask in silence: what a detector missed has to
    come as ``occluded``.
    """
    if isinstance(values, np.ma.MaskedArray):
        masked = int(np.ma.count_masked(values))
        raise ValueError(
            f"{name} is a masked array with {masked} of {values.size} values masked: give its data and mark "
            f"what is masked as hidden, {name}.filled(0) and occluded | np.ma.getmaskarray({name}).any(-1)"
        )
