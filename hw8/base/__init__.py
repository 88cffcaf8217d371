"""What every room may use, which knows nothing of images or models."""
