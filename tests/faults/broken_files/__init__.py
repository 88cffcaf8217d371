"""Broken files of every kind that hw8 reads, and what is asked of the readers.

A reader either gives something valid or raises `InputError` with one readable line, quickly, in little memory, without
running, writing or changing anything. `python -m tests.faults.broken_files` tries every case and prints a table, and
with names of cases (or the beginnings of names) only those, each with what came of it.
"""
