"""Where runs are computed: in worker processes of this machine, or on a Dask cluster.

with started("processes", todo) as (executor, room, words):       # words: "2 workers, one a core"
    carry_out(jobs, executor, room, done)
"""

import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from multiprocessing import get_context
from urllib.parse import urlsplit

from datadiet.errors import InputError
from datadiet.runs import process

HERE = ("here", "processes", "stored")
SPAWN = get_context("spawn")  # a forked copy of torch's threads can hang
WATCH = 10  # seconds between two looks at the workers
SECONDS = 10  # that the scheduler of a Dask cluster is given to answer
ENDING = threading.Lock()


def check(engine: str, operation: str = "runs.sweep", here: tuple[str, ...] = HERE) -> str:
    """The engine that `operation` asks for, if there is one of this name: one of `here`, or the address of a Dask scheduler.

    Raises
    ------
    InputError
        An unknown name; the address of a Dask scheduler without host or port.
    """
    if isinstance(engine, str) and engine in here:
        return engine
    if not isinstance(engine, str) or not engine.startswith("dask://"):
        known = ", ".join(map(repr, here[:2])) + ", 'dask://host:port'" + "".join(f" or {each!r}" for each in here[2:])
        raise InputError(f"{operation}: unknown engine {engine!r}; choose {known}.")
    try:
        address = urlsplit(engine)
        whole = address.hostname and address.port
    except ValueError:  # a port that is no number, or too large; brackets that do not close
        whole = False
    if not whole:
        raise InputError(f"{operation}: the engine {engine!r} names no Dask scheduler; give its host and port, as in "
                         "'dask://127.0.0.1:8786'.")
    return engine


@contextmanager
def started(engine: str, todo: list[dict]):
    """An executor of `engine`, how many runs it takes at a time (a function), and how it is made up, in words.

    Raises
    ------
    InputError
        No scheduler answers, or the Dask extra is not installed.
    """
    with _processes(todo) if engine == "processes" else dask(engine) as parts:
        yield parts


@contextmanager
def _processes(todo: list[dict]):
    workers = process.workers({run["device"] for run in todo}, len(todo), process.need(todo))
    free = None
    if workers.gpus:
        free = SPAWN.SimpleQueue()
        for name in workers.gpus:
            free.put(name)
    # A job waits, so that no worker does; where many short runs share a GPU, one for each worker, as several may end while a
    # result is stored. A job is a config and the scores that choose its examples, no data: the set and its tokens a worker
    # has from its first run on that set, the model and the tensors of a run it makes when the run begins. While it does, the
    # other workers keep their GPU busy. To make them ahead of time takes a thread that draws from torch's one generator as
    # well, and so would change runs: it is not done.
    waiting = len(workers.gpus) or 1
    with pool(workers.count, free) as executor:
        yield executor, lambda: workers.count + waiting, workers.words


@contextmanager
def pool(count: int, free=None):
    """Executor on `count` worker processes; interrupted, they are ended and what waits is dropped. `free`: their GPUs, queued.

    A worker that was killed ends the others, and the executor with them: what waits there raises BrokenProcessPool.
    """
    executor, over = ProcessPoolExecutor(count, SPAWN, process.start_worker, (free,)), threading.Event()
    threading.Thread(target=_watched, args=(executor, over), daemon=True).start()
    try:
        yield executor
    except BaseException:
        _ended(executor)
        raise
    finally:
        executor.shutdown(cancel_futures=True)
        over.set()


def _watched(executor: ProcessPoolExecutor, over: threading.Event) -> None:
    """End an executor that has not noticed in time that one of its workers was killed."""
    killed = False
    while not over.wait(WATCH):
        before, killed = killed, any(each.exitcode for each in list((executor._processes or {}).values()))
        if before and killed:
            _ended(executor)
            return


def _ended(executor: ProcessPoolExecutor) -> None:
    """End its workers, wherever they are. One may have been sending a result, the rest of which the executor waits for as long as
    anybody can send: now nobody can, and the message ends."""
    with ENDING:  # who watches and who is interrupted may both come: of two that close a file, one closes what was opened since
        stopped, results = list((executor._processes or {}).values()), executor._result_queue
        for worker in stopped:
            worker.terminate()  # Python 3.14 has executor.terminate_workers
        for worker in stopped:
            worker.join()
        if results is not None:
            results._writer.close()


@contextmanager
def dask(engine: str, operation: str = "runs.sweep"):
    """Executor on the workers of the scheduler at `engine`, how many jobs it takes at a time (a function), its workers in words.

    A worker that dies is no loss: its jobs go to the others, and only a job that four workers died of fails. Workers must have
    this release of the package: those that are there at the start are asked.

    Raises
    ------
    InputError
        No scheduler answers within ten seconds, a worker has no datadiet or another version, or the Dask extra is not installed.

    Warns
    -----
    UserWarning
        There is no worker yet: the jobs wait until one joins.
    """
    try:
        from distributed import Client
    except ImportError:
        raise InputError(f"{operation}: the Dask engine needs the extra: pip install 'datadiet[dask]'") from None
    try:
        _answers(engine)
        client = Client(engine.replace("dask://", "tcp://"), timeout=SECONDS)
    except (OSError, ValueError, EOFError) as problem:  # the last two: something answers, but no scheduler
        raise InputError(f"{operation}: no Dask scheduler answers at {engine} within {SECONDS} s ({type(problem).__name__}); "
                         "start it before, with `dask scheduler`, and give the address that it prints, dask:// in place of tcp://."
                         ) from None
    with client:
        _same_release(client, operation)
        executor = client.get_executor(pure=False)
        try:  # twice as many as there are threads: a cluster that grows with its work sees that there is more
            yield executor, lambda: 2 * max(1, sum(client.nthreads().values())), f"{len(client.nthreads())} Dask workers"
        finally:
            executor.shutdown(wait=False)


def _answers(engine: str) -> None:
    """Raise OSError where nothing at the address greets as a scheduler does: it speaks first, and says its compression.

    Dask's client has a time limit, which a port that takes the connection and says nothing outlasts.
    """
    address, seen, end = urlsplit(engine), b"", time.monotonic() + SECONDS
    with socket.create_connection((address.hostname, address.port), timeout=SECONDS) as line:
        while b"compression" not in seen and (left := end - time.monotonic()) > 0 and len(seen) < 4096:
            line.settimeout(left)
            more = line.recv(4096)
            if not more:
                break
            seen += more
    if b"compression" not in seen:
        raise ConnectionError("it does not speak as a scheduler")


def _same_release(client, operation: str) -> None:
    """Ask every worker which release of the package it has."""
    import datadiet

    def release():  # without a name of its own it travels as code: a worker that lacks the package can answer
        try:
            import datadiet
        except ImportError as problem:
            return f"no datadiet ({problem})"
        return f"datadiet {datadiet.__version__}"

    here, there = f"datadiet {datadiet.__version__}", client.run(release, on_error="return")
    if not there:
        warnings.warn(f"{operation}: the Dask scheduler has no worker yet; the work waits until one joins.", stacklevel=2)
    # An answer that is no string is the failure of a worker that died just now.
    others = {address: seen for address, seen in there.items() if isinstance(seen, str) and seen != here}
    if others:
        named = "; ".join(f"{address} has {seen}" for address, seen in sorted(others.items())[:3])
        raise InputError(f"{operation}: {len(others)} of {len(there)} Dask workers cannot do the work of {here}: {named}. "
                         "Install the same release in the Python that runs `dask worker`, and start these workers again.")


def carry_out(jobs: Iterable[tuple], executor: Executor, room: Callable, done: Callable) -> None:
    """Submit `jobs`, (run, function, argument ...) each, no more than `room()` at a time; ``done(run, result)`` as they end.

    ``result()`` returns what the job returned or raises what it raised. Interrupted, nothing more is started, and what has ended
    by then is still handed to `done`.
    """
    jobs, under_way = iter(jobs), {}

    def submit(run, *job):
        try:
            future = executor.submit(*job)
        except Exception as problem:  # a worker was killed, which ends its executor
            future = Future()
            future.set_exception(problem)
        under_way[future] = run

    def hand_over(futures):
        for future in futures:
            done(under_way[future], future.result)
            del under_way[future]

    try:
        while True:
            while len(under_way) < room() and (job := next(jobs, None)) is not None:
                submit(*job)
            if not under_way:
                return
            hand_over(wait(under_way, return_when=FIRST_COMPLETED).done)
    except BaseException:
        for future in under_way:
            future.cancel()
        hand_over([future for future in under_way if future.done() and not future.cancelled()])
        raise
