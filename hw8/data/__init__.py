"""From files of images to batches: opening and checking, sources, splits, corruptions, loading."""
