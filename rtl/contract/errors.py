"""The one exception for input that a user can put right."""


class HayateError(Exception):
    """Bad input, said in one line: `SOURCE: FIELD: what is wrong; how to put it right`.

    The command line prints the line and ends with exit code 2; nothing half-written is left behind. Anything else that is
    raised is a fault of ours and keeps its traceback.

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
