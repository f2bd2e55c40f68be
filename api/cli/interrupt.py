"""Signals that end a command: raised in the main thread, and raised again where somebody else's code lost them.

What a signal handler raises is not sure to arrive. Python drops it in a weak reference's callback and in `__del__`
("Exception ignored in"), and extension modules that try an import drop it without a word: of signals that came while
cocotb's modules were being imported, 3 in 100 were lost, and the command went on to its end as if nothing had been
asked of it. Or it makes another of it: 1 in 1,000 came out as "RuntimeError: Error calling __set_name__".
"""

import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
AGAIN = 0.1  # seconds from a look at whether the exception is still under way to the next


class Interrupted(BaseException):
    """Ctrl-C, SIGTERM or SIGHUP. Not a KeyboardInterrupt: the option parser would turn that into an exit code of its
    own.
    """

    def __init__(self, number):
        self.number = number


def _under_way():
    """Whether an `Interrupted` is being handled by a caller, or was when what is being handled came up: its clean-up is
    at work.
    """
    error = sys.exc_info()[1]
    while error is not None and not isinstance(error, Interrupted):
        error = error.__context__
    return error is not None


@contextmanager
def raised():
    """Within: each of `SIGNALS` raises `Interrupted` in the main thread, until it leaves the block; while clean-up is
    at work, further ones do nothing. A block that got one ends with `Interrupted`, whatever else comes out of it.
    Signals that the caller has ignored (`nohup`, a script's background job) stay ignored.
    """
    first = []

    def interrupt(number, _):
        first.append(number)
        signal.setitimer(signal.ITIMER_REAL, AGAIN, AGAIN)
        again()

    def again(*_):
        if not _under_way():
            raise Interrupted(first[0])

    previous = {number: signal.getsignal(number) for number in (*SIGNALS, signal.SIGALRM)}
    signal.signal(signal.SIGALRM, again)
    for number in SIGNALS:
        if previous[number] is not signal.SIG_IGN:
            signal.signal(number, interrupt)
    error = None
    try:
        yield
    except BaseException as e:
        error = e
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in previous.items():
            signal.signal(number, handler)
    if first:
        raise Interrupted(first[0]) from error
    if error:
        raise error


def end_children():
    """End the programs that this process has started, and what these have (on Linux; elsewhere Ctrl-C reaches them
    anyway).
    """
    try:
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    except OSError:
        return
    for child in map(int, children):
        try:
            if os.getpgid(child) == child:
                os.killpg(child, signal.SIGKILL)
            else:
                os.kill(child, signal.SIGKILL)
        except ProcessLookupError:  # it ended by itself
            pass
