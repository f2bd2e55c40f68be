"""Reset in the middle: a test's own traffic, cut off at a random cycle by a reset, some times before it runs to its
end.
"""

import functools
import os
from dataclasses import replace

import cocotb
from cocotb.triggers import Timer
from cocotb.utils import get_sim_time

from hayate.verif.bench import bench
from hayate.verif.bench.drivers import PERIOD


def resets(within: int, *, times: int = 3):
    """Decorator below `@BENCH.test()`: runs the test `times` times up to a random cycle, each with other random
    numbers, then to its end.

    The test begins with `start`, as all do, which is the reset that hits what was going on. So what it compares must
    not depend on what memories held before. A cut-off run is compared with golden up to its end, too.

    Parameters
    ----------
    within: most cycles of a run that is cut off; best about as many as fill the design.
    """

    def decorate(function):
        @functools.wraps(function)
        async def interrupted(dut):
            job = bench.job()
            for n in range(times):
                os.environ.update(replace(job, seed=f"{job.seed} cut off {n}", cut=within).environment())
                await alone(_some_of(function(dut), bench.rng("reset").randint(4, within)))
            os.environ.update(job.environment())
            await function(dut)

        return interrupted

    return decorate


async def _some_of(coroutine, cycles: int):
    cocotb.start_soon(coroutine)
    await Timer(cycles * PERIOD, "ns")


async def alone(coroutine):
    """Await `coroutine`, then end every task that was started meanwhile, the clock's too: what follows begins with
    `start` again.
    """
    tasks, start_soon = [], cocotb.start_soon

    def remember(*arguments, **options):
        tasks.append(start_soon(*arguments, **options))
        return tasks[-1]

    cocotb.start_soon = remember
    try:
        await coroutine
    finally:
        cocotb.start_soon = start_soon
    for task in tasks:
        task.cancel()
    # Cycles begin at multiples of the period, as they do in a run of its own.
    await Timer(PERIOD - int(get_sim_time("ns")) % PERIOD, "ns")
