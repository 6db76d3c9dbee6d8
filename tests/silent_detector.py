"""A detector without errors: every joint is found where it is, and is sure of it."""

from gated_lift.synthetic.detector import DetectorConfig

SILENT = DetectorConfig(
    noise=0.0,
    hidden_noise=0.0,
    outlier_rate=0.0,
    hidden_outlier_rate=0.0,
    swap_rate=0.0,
    confidence_logit=20.0,
)
