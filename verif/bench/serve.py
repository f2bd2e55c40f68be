"""Inside a simulator that runs several tests of one build: it stands still ahead of time 0 and forks a simulation for
each.

Starting a simulator with Python, cocotb and numpy in it takes longer than most benches run. A fork has all that, the
test file included, and the design as it is when the power comes on: no test sees what another one has left in
registers, memories, time or Python's modules, and none can take another one down with it. cocotb calls `serve` where it
would begin (`held` has the other side).
"""

import ctypes
import gc
import json
import os
import signal
import socket
import sys
import traceback
from importlib import import_module
from pathlib import Path


def bench_module(file: str):
    """The module of the test file `file`. Raises whatever it raises when it is imported."""
    folder, name = str(Path(file).parent), Path(file).stem
    if getattr(sys.modules.get(name), "__file__", file) != file:
        del sys.modules[name]  # of the same name in another folder
    if sys.path[0] != folder:
        sys.path.insert(0, folder)
    return import_module(name)


def import_test(module: str):
    """Import a test file or a module, as `bench_module` and `import_module` do."""
    (bench_module if module.endswith(".py") else import_module)(module)


def serve():
    """Answer requests on standard input, a socket: JSON, one a line. Returns in the forks only, each of which is to run
    as asked.

    Requests: cwd, env and log of `tools.execute`, module: a test file or the dotted name of a module. Answers: the exit
    status, negative where a signal ended it.
    """
    from cocotb.regression import RegressionManager

    RegressionManager.setup_pytest_assertion_rewriting()
    RegressionManager.setup_pytest_assertion_rewriting = staticmethod(lambda: None)  # done for all forks
    import_module("hayate.verif.bench.drivers")
    child = 0
    parent = os.getpid()

    def end(number, _):
        """Not before the fork has gone: there may be nobody else who would wait for it."""
        if os.getpid() == parent and child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        os._exit(128 + number)

    signal.signal(signal.SIGTERM, end)
    with socket.socket(fileno=os.dup(0)) as connection, connection.makefile() as requests:
        for line in requests:
            request = json.loads(line)
            try:
                import_test(request["module"])
            except BaseException:
                traceback.print_exc()  # and again in the fork, where it is seen
            gc.collect()
            gc.freeze()
            sys.stdout.flush()
            sys.stderr.flush()
            ctypes.CDLL(None).fflush(None)  # what the simulator has written is not for the forks to write again
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
            child = os.fork()
            if not child:
                break
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            child = 0
            connection.sendall(f"{status}\n".encode())
    if os.getpid() == parent:
        os._exit(0)
    _become(**request)


def _become(cwd: str, env: dict[str, str], log: str, module: str):
    """Be the process that `tools.execute` would have started."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    os.chdir(cwd)
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for descriptor, number in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(descriptor, number)
    os.close(nothing)
    os.close(output)
    os.environ.clear()
    os.environ.update(env)
