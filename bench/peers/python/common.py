"""The measurement, which is the same for every queue for Python.

It creates a database. All jobs are enqueued before the clock starts. The clock stops when the
database has no unfinished job. Then single jobs are enqueued into the idle queue.

Usage: `python PROGRAM SETTING JOBS DEADLINE_SECONDS`, with the URL of the server in PEER_POSTGRES.
Progress goes to stderr. The result goes to stdout as one line of JSON. A failure has a non-zero
exit code, and the last line on stderr is its reason.
"""

import asyncio
import json
import math
import os
import platform
import sys
import time
import traceback
from contextlib import suppress
from importlib.metadata import version
from urllib.parse import urlsplit, urlunsplit

import asyncpg

DATABASE = "tidegate_peer_python"
# The number of jobs in one bulk call. Larger statements exceed the limits of some queues.
ENQUEUE_CHUNK = 2000
# The number of single jobs for the idle latency. With 200 samples, two slow ones do not decide the
# 99th percentile.
LATENCY_SAMPLES = 200
# The pause between two single jobs, so that the queue can complete the job and become idle.
LATENCY_PAUSE_S = 0.02
LATENCY_TIMEOUT_S = 10
PROGRESS_INTERVAL_S = 2
CHECK_INTERVAL_S = 0.005


class RunFailed(Exception):
    """The reason why a run gives no figures."""


class CallCounter:
    """Counts handler calls and wakes a task that waits for a number of them."""

    def __init__(self):
        self.count = 0
        self._target = math.inf
        self._reached = None

    def __call__(self):
        self.count += 1
        if self.count >= self._target and self._reached is not None and not self._reached.done():
            self._reached.set_result(time.perf_counter())

    def reach(self, target):
        """Returns a future with the time of call number `target`."""
        self._reached = asyncio.get_running_loop().create_future()
        self._target = target
        if self.count >= target:
            self._reached.set_result(time.perf_counter())
        return self._reached


def say(text):
    print(text, file=sys.stderr, flush=True)


def run(queue, runner=asyncio.run):
    """Measures one queue in one of its settings and exits.

    `queue` has `name`, `settings` (each a dict with `description` and `wakes`), `unfinished` (SQL
    that counts the unfinished jobs) and `open(url, setting)`, an async context manager. Its value
    is an adapter:

    - `enqueue(start, count)` enqueues jobs by the bulk call of the queue;
    - `enqueue_one()` enqueues a single job;
    - `start(handle)` starts the workers, which call `handle()` once for each job, and returns a
      task that ends with the workers;
    - `stop()` stops the workers.
    """
    try:
        name, jobs, deadline_s = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
        setting, server = queue.settings[name], os.environ["PEER_POSTGRES"]
    except (IndexError, KeyError, ValueError):
        names = "|".join(queue.settings)
        say(f"usage: PEER_POSTGRES=postgres://… PROGRAM {names} JOBS DEADLINE_SECONDS")
        sys.exit(1)

    async def bounded():
        return await asyncio.wait_for(measure(queue, setting, jobs, server), deadline_s)

    try:
        result = runner(bounded())
    except (TimeoutError, asyncio.TimeoutError):
        say(f"not done after {deadline_s:.0f} s")
        sys.exit(1)
    except Exception as error:
        traceback.print_exc()
        say(" ".join(str(error).split()) or type(error).__name__)
        sys.exit(1)
    print(json.dumps(result), flush=True)


async def measure(queue, setting, jobs, server):
    url = await fresh_database(server)
    client = await asyncpg.connect(url)
    await demand_durability(client)
    async with queue.open(url, setting) as adapter:
        for start in range(0, jobs, ENQUEUE_CHUNK):
            await adapter.enqueue(start, min(ENQUEUE_CHUNK, jobs - start))
        expect("jobs enqueued", await client.fetchval(queue.unfinished), jobs)
        await client.execute("analyze")
        say(f"enqueued {jobs}")

        handled = CallCounter()
        progress = asyncio.create_task(show_progress(handled, jobs))
        all_handled = handled.reach(jobs)
        started_at = time.perf_counter()
        workers = adapter.start(handled)
        await unless_workers_end(workers, all_handled)
        await all_finished(client, queue)
        seconds = time.perf_counter() - started_at
        progress.cancel()
        expect("handler calls", handled.count, jobs)

        latency = await idle_latency(adapter, handled, workers) if setting["wakes"] else None
        expect("handler calls", handled.count, jobs + len(latency or []))
        # The completion of the last job may not be written yet, and a stop would prevent it.
        await all_finished(client, queue)
        await adapter.stop()
        await workers
    expect("jobs unfinished", await client.fetchval(queue.unfinished), 0)
    await client.close()
    await drop_database(server)
    return {
        "peer": queue.name,
        "version": version(queue.name),
        "runtime": f"python {platform.python_version()}",
        "settings": setting["description"],
        "jobs": jobs,
        "seconds": seconds,
        "per_second": jobs / seconds,
        "handled": jobs,
        "latency_ms": latency and {"p50": quantile(latency, 0.5), "p99": quantile(latency, 0.99)},
    }


async def all_finished(client, queue):
    while await client.fetchval(queue.unfinished) > 0:
        await asyncio.sleep(CHECK_INTERVAL_S)


async def idle_latency(adapter, handled, workers):
    """Returns the times in milliseconds from before the enqueue to the start of the handler.

    They are sorted. Both ends are in this process and use the same clock.
    """
    samples = []
    for _ in range(LATENCY_SAMPLES):
        await asyncio.sleep(LATENCY_PAUSE_S)
        reached = handled.reach(handled.count + 1)
        started_at = time.perf_counter()
        await adapter.enqueue_one()
        try:
            ended = await asyncio.wait_for(unless_workers_end(workers, reached), LATENCY_TIMEOUT_S)
        except (TimeoutError, asyncio.TimeoutError):
            raise RunFailed(f"a single job was not handled within {LATENCY_TIMEOUT_S} s") from None
        samples.append((ended - started_at) * 1000)
    return sorted(samples)


async def unless_workers_end(workers, future):
    """Returns the result of `future`, or fails with the workers if they end first."""
    await asyncio.wait({workers, future}, return_when=asyncio.FIRST_COMPLETED)
    if not future.done():
        await workers
        raise RunFailed("the workers ended before all jobs were handled")
    return future.result()


async def show_progress(handled, jobs):
    while True:
        await asyncio.sleep(PROGRESS_INTERVAL_S)
        say(f"handled {handled.count} of {jobs}")


def quantile(ordered, share):
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


def expect(name, count, expected):
    if count != expected:
        raise RunFailed(f"{name}: {count}, expected {expected}")


async def demand_durability(client):
    """Fails unless commits wait for the disk, so that all queues do the same work."""
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        value = await client.fetchval("select current_setting($1)", setting)
        if value != "on":
            raise RunFailed(f"the server has {setting} = {value}; it must be on")


async def fresh_database(server):
    await drop_database(server)
    await as_administrator(server, f"create database {DATABASE}")
    return urlunsplit(urlsplit(server)._replace(path=f"/{DATABASE}"))


async def drop_database(server):
    await as_administrator(server, f"drop database if exists {DATABASE} with (force)")


async def as_administrator(server, statement):
    client = await asyncpg.connect(server)
    try:
        await client.execute(statement)
    finally:
        with suppress(Exception):
            await client.close()
