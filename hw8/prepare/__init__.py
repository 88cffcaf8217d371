"""Turns folders of pictures into array files."""
