"""From a trained model and images to anomaly scores: evidence, calibration, fusion."""
