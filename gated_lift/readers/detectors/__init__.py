"""Readers of detectors' keypoint files, one file a format.

Each has a `source.Format` that `gated_lift.readers.detections.FORMATS` lists.
"""
