"""Work shared by processes."""

from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from hayate.rtl.contract.errors import HayateError


def spread(collect, work, tasks, jobs, begin, arguments):
    """`collect` of the results of `work` over `tasks`, in order, by at most `jobs` processes.

    begin, arguments: called as ``begin(*arguments)`` in each process first. Raises HayateError naming --jobs when a
    process was killed; an error or an interrupt abandons what has not begun.
    """
    pool = ProcessPoolExecutor(min(jobs, len(tasks)), get_context("spawn"), initializer=begin, initargs=arguments)
    try:
        results = collect(pool.map(work, tasks))
    except BrokenProcessPool:
        raise HayateError(
            "--jobs", "", "a worker process was killed, perhaps for lack of memory", "use --jobs 1"
        ) from None
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()
    return results
