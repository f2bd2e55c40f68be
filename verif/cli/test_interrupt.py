"""Signals end a command wherever they come, once its clean-up is done, and whoever loses what the handler raises."""

import os
import signal
import subprocess
import sys
import time
import weakref

import pytest

from hayate.cli.interrupt import Interrupted, raised

PATIENCE = 1000  # hundredths of a second after which a signal counts as lost


def work():
    for _ in range(PATIENCE):
        time.sleep(0.01)


def lost_in_a_callback():
    """What a weak reference's callback raises is printed and dropped; `import` has such callbacks."""
    thing = type("Thing", (), {})()
    kept = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGTERM))
    del thing
    assert kept() is None


def lost_in_a_library():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except BaseException:  # as extension modules do where they try an import
        pass


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("lose", [lost_in_a_callback, lost_in_a_library])
def test_a_lost_signal_is_raised_again(lose):
    with pytest.raises(Interrupted) as found, raised():
        lose()
        work()
    assert found.value.number == signal.SIGTERM


def made_another():
    """As Python does of what comes up while it makes a class, in `__set_name__`."""
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except BaseException as e:
        raise RuntimeError("Error calling __set_name__") from e


@pytest.mark.parametrize("lose", [made_another, lost_in_a_library])
def test_a_block_that_got_a_signal_ends_with_it(lose):
    with pytest.raises(Interrupted), raised():
        lose()


def test_other_exceptions_pass():
    with pytest.raises(KeyError, match="mine"), raised():
        raise KeyError("mine")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_clean_up_is_left_alone(number):
    done = []
    with pytest.raises(Interrupted) as found, raised():
        try:
            os.kill(os.getpid(), number)
            work()
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            for _ in range(40):  # longer than it takes until the exception is looked for
                time.sleep(0.01)
            done.append(True)
    assert done and found.value.number == number


def test_what_the_caller_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with raised():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_handlers_are_put_back():
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
    before = [signal.getsignal(n) for n in numbers]
    with raised():
        pass
    assert [signal.getsignal(n) for n in numbers] == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


#: Imports what a build imports, in forks that get a signal at another time each; prints how they ended.
IMPORTS = """
import os, signal, sys, time
from hayate.cli.interrupt import Interrupted, raised
import hayate.sim.runner
for step in range(int(sys.argv[1])):
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            with raised():
                os.kill(os.getppid(), signal.SIGUSR1)
                import hayate.sim.simulators
                time.sleep(10)
            os._exit(1)
        except Interrupted:
            os._exit(0)
    signal.sigwait({signal.SIGUSR1})
    time.sleep(0.0005 * (step % 120))
    os.kill(child, signal.SIGTERM)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def endings(count):
    code = f"import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])\n{IMPORTS}"
    done = subprocess.run([sys.executable, "-c", code, str(count)], capture_output=True, text=True, check=True)
    return [int(line) for line in done.stdout.split()]


def test_no_signal_is_lost_while_a_build_begins():
    """Of 120 that came while cocotb's modules were being imported, three or four once were, and the build went on."""
    assert endings(120) == [0] * 120


@pytest.mark.nightly
def test_no_signal_is_lost_in_many():
    assert endings(1200) == [0] * 1200
