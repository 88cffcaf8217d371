"""The two ways a command ends early: the input is at fault, or the user stopped it."""


class InputError(ValueError):
    """Bad usage or bad input: one line saying what is wrong, where, and what to do (exit code 2)."""


class Interrupted(Exception):
    """Stopped by the user or the system with the work saved; the message says how to go on (exit code 130)."""
