"""How good a model is: figures with intervals, calibration, robustness, comparison of two, the model card."""
