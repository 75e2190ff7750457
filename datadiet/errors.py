"""The one exception a user is meant to read."""


class InputError(ValueError):
    """Something the caller gave cannot be used.

    The message is one paragraph: the operation, what was seen, and what to change. The command line prints it without a
    traceback and exits with code 2.
    """
