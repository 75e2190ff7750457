"""The one exception a user is meant to read."""

import re


class InputError(ValueError):
    """Something the caller gave cannot be used.

    The message is one paragraph: the operation, what was seen, and what to change. The command line prints it without a
    traceback and exits with code 2.

    Parameters
    ----------
    message : str
        Line ends in it, as in the value of an array that is quoted, become blanks.
    log : str
        Lines of another program, or a list, below the paragraph.
    """

    def __init__(self, message: str = "", log: str = ""):
        super().__init__(re.sub(r"\s*[\r\n]\s*", " ", message) + ("\n" + log if log else ""))
