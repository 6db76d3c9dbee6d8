def taken_back(keypoints, hidden, times, figure):
    import numpy as np

    return np.zeros_like(hidden)
