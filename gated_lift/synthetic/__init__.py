"""Motion, bodies, cameras' views and detectors that are made rather than recorded."""
