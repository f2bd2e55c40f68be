"""The cocotb module of every bench: finds the one test that this simulation is for and registers it."""

import importlib
import sys
from pathlib import Path

import cocotb

from hayate.verif.bench import bench, drivers

_job = bench.job()
sys.path.insert(0, str(Path(_job.file).parent))
_function = getattr(importlib.import_module(Path(_job.file).stem), _job.test)
_options = _function.__bench__
bench._params.update(_options.bench.params[_job.index])


async def _run(dut):
    cocotb.log.info("parameters %s, seed %d", bench.params() or "none", _job.seed)
    await _function(dut)


test = cocotb.test(name=_job.test, timeout_time=_options.limit * drivers.PERIOD, timeout_unit="ns")(_run)
