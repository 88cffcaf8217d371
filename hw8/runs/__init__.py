"""The whole road of one run: training it, loading it, scoring a test set, the submission."""
