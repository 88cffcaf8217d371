"""The homework, fetched and checked."""
