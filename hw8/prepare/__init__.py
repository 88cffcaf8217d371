"""Folders of pictures made into array files."""
