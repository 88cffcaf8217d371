"""The stand-in for the official client, and a file to send, for every test of submitting."""

from stand_in import client, file

__all__ = ["client", "file"]
