"""The one exception for input that the user can mend."""


class InputError(ValueError):
    """Bad input: the message says in one line what was expected, what was found and what to do.

    The command line prints the message alone, without a traceback, and exits with code 2.
    """
