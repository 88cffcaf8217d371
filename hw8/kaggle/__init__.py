"""Submitting to Kaggle with its official client, and a ledger of what was submitted and how it scored."""

from hw8.kaggle.client import COMPETITION, RULES_PAGE, download_archive, find_client
from hw8.kaggle.ledger import LEDGER, Entry, Ledger
from hw8.kaggle.scores import listing, refresh, scores_of_run
from hw8.kaggle.submitting import budget, check_budget, draft, refresh_options, submit, warnings

__all__ = [
    "COMPETITION", "LEDGER", "RULES_PAGE", "Entry", "Ledger", "budget", "check_budget", "download_archive", "draft",
    "find_client", "listing", "refresh", "refresh_options", "scores_of_run", "submit", "warnings",
]  # fmt: skip
