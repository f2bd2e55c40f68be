"""The exception for input that a user can put right, and the warning about input that may not be what was meant."""

import difflib


class HayateError(Exception):
    """Bad input, said in one line: `SOURCE: FIELD: what is wrong; how to put it right`.

    The command line prints the line and ends with exit code 2; nothing half-written is left behind. Anything else that
    is raised is a fault of ours and keeps its traceback.

    Parameters
    ----------
    source: the file, option or tool that the fault was found in.
    field: the key, tensor or argument in it; empty where the whole source is at fault.
    what: what is wrong, with the value found.
    remedy: what to do about it; empty only where `what` already says so.
    """

    exit_code = 2

    def __init__(self, source: object, field: str, what: str, remedy: str = ""):
        self.source = str(source)
        self.field = field
        self.what = what
        self.remedy = remedy
        place = f"{self.source}: {field}" if field else self.source
        super().__init__(f"{place}: {what}; {remedy}" if remedy else f"{place}: {what}")


class HayateWarning(UserWarning):
    """Input that has two meanings, of which one is taken: in one line, which, and how to say it clearly. Not an error.

    The command line prints the line on standard error; elsewhere it is an ordinary warning of Python.
    """


def nearest(name, names, cutoff=0.0):
    """The one of `names` that is most like `name`, whatever the case; "" where none comes up to `cutoff`, 0 to 1."""
    by_lower = {str(n).lower(): n for n in names}
    near = difflib.get_close_matches(str(name).lower(), list(by_lower), n=1, cutoff=cutoff)
    return by_lower[near[0]] if near else ""
