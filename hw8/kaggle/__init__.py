"""Submitting to Kaggle through its official client, and a ledger of what was submitted and what came of it."""

from hw8.kaggle.allowance import budget, check_budget, warnings
from hw8.kaggle.client import COMPETITION, find_client
from hw8.kaggle.drafts import draft
from hw8.kaggle.ledger import LEDGER, Entry, Ledger
from hw8.kaggle.refreshing import refresh
from hw8.kaggle.scores import listing, scores_of_run
from hw8.kaggle.sending import submit

__all__ = [
    "COMPETITION",
    "LEDGER",
    "Entry",
    "Ledger",
    "budget",
    "check_budget",
    "draft",
    "find_client",
    "listing",
    "refresh",
    "scores_of_run",
    "submit",
    "warnings",
]
