"""Shows what a command is doing while it takes time."""

import time
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


def console(json=""):
    """Console for people: standard error when standard output carries the JSON."""
    return Console(stderr=json == "-", highlight=False, soft_wrap=True)


class Steps:
    """Announces slow steps on a rich console; without one it is silent.

    On a terminal a step is a spinner with the seconds gone by; elsewhere it is a line when it begins, so that a log
    shows what is being waited for. Both leave a line with the time it took, where that was a second or more.
    """

    def __init__(self, console=None):
        self._console = console

    def note(self, text):
        """A line about the step in progress."""
        if self._console is not None:
            self._console.print(text, style="dim", markup=False)

    @contextmanager
    def __call__(self, text):
        """Context manager around one step. An exception ends the spinner and leaves no line."""
        if self._console is None:
            yield
            return
        started = time.monotonic()
        if self._console.is_terminal:
            columns = SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn()
            with Progress(
                *columns, console=self._console, transient=True, redirect_stdout=False, redirect_stderr=False
            ) as progress:
                progress.add_task(text, total=None)
                yield
        else:
            self.note(f"{text} ...")
            yield
        if (seconds := time.monotonic() - started) >= 1:
            self.note(f"{text}: {seconds:.1f} s")
