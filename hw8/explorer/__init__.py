"""A local page to look through a test set, and to try images of one's own."""
