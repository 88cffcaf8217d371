"""The homework's files, downloaded and verified."""

from hw8.download.homework import HOME, download_files, download_from_kaggle

__all__ = ["HOME", "download_files", "download_from_kaggle"]
