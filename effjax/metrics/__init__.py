"""Metrics: per-example measures, and states that merge as sums and counts."""

from effjax.metrics.answers import consensus_accuracy
from effjax.metrics.average_precision import AveragePrecision
from effjax.metrics.calibration import CalibrationBins, expected_calibration_error
from effjax.metrics.classification import agreement, negative_log_likelihood, top_k_accuracy
from effjax.metrics.coco import coco_numbers
from effjax.metrics.mean import Mean
from effjax.metrics.metric import Metric
from effjax.metrics.temperature import fit_temperature

__all__ = [
    "AveragePrecision",
    "CalibrationBins",
    "Mean",
    "Metric",
    "agreement",
    "coco_numbers",
    "consensus_accuracy",
    "expected_calibration_error",
    "fit_temperature",
    "negative_log_likelihood",
    "top_k_accuracy",
]
