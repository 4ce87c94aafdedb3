"""The exceptions for input that the user can mend."""


class InputError(ValueError):
    """Bad input: the message says in one line what was expected, what was found and what to do.

    The command line prints the message alone, without a traceback, and exits with code 2.
    """


class IncompleteError(Exception):
    """Some of the input was bad, the rest is done: the message lists what was left out and why, a line each.

    The command line prints the message alone, without a traceback, and exits with code 1.
    """
