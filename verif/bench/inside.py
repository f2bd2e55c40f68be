"""The cocotb module of every bench: finds the one test that this simulation is for and registers it."""

import cocotb

from hayate.verif.bench import bench, drivers
from hayate.verif.bench.serve import bench_module

_job = bench.job()
_function = getattr(bench_module(_job.file), _job.test)
_options = _function.__bench__
bench._params.update(_options.bench.params[_job.index])


async def _run(dut):
    cocotb.log.info("parameters %s, seed %d", bench.params() or "none", _job.seed)
    await _function(dut)


test = cocotb.test(name=_job.test, timeout_time=_options.limit * drivers.PERIOD, timeout_unit="ns")(_run)
