"""Types of the mathematics: arrays of float64, and parameters by name.

Legend of shapes: R replicas. Parameters are a mapping from name to array with a leading replica axis.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Parameters = Mapping[str, Array]
