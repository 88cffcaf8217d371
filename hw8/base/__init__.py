"""Tools for every room: errors, files, locks, tables, processes, device. Nothing here knows of images or models."""
