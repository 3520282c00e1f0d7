"""What every queue for Python is put through, so that only the queue differs.

A database of its own, the jobs enqueued before the clock starts, the clock stopped when the database says that nothing
is left, and then single jobs into the idle queue.

Called as `python PROGRAM SETTING JOBS DEADLINE_SECONDS`, with the server's URL in PEER_POSTGRES. Progress goes to
stderr, the result to stdout as one line of JSON; a failure ends with a non-zero exit and its reason as stderr's last
line.
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
# One call enqueues as many: enough to be quick, few enough for every queue's statement.
ENQUEUE_CHUNK = 2000
# Single jobs into the idle queue: 200 give a 99th percentile that two slow ones do not make up.
LATENCY_SAMPLES = 200
# Between two of them everything comes to rest, completion included.
LATENCY_PAUSE_S = 0.02
LATENCY_TIMEOUT_S = 10
PROGRESS_S = 2
LOOK_S = 0.005


class Wrong(Exception):
    """The run is worth nothing, and why."""


class Handled:
    """Counts handler calls, and wakes whoever waits for a number of them."""

    def __init__(self):
        self.count = 0
        self._target = math.inf
        self._reached = None

    def __call__(self):
        self.count += 1
        if self.count >= self._target and self._reached is not None and not self._reached.done():
            self._reached.set_result(time.perf_counter())

    def reach(self, target):
        """A future that holds the time of the call that made it `target` calls."""
        self._reached = asyncio.get_running_loop().create_future()
        self._target = target
        if self.count >= target:
            self._reached.set_result(time.perf_counter())
        return self._reached


def say(text):
    print(text, file=sys.stderr, flush=True)


def run(queue, runner=asyncio.run):
    """Runs one queue in one of its settings and exits.

    `queue` has `name`, `settings` (each a dict with `described` and `wakes`), `unfinished` (SQL that counts the jobs
    that are not finished) and `open(url, setting)`: an async context manager whose value has

    - `enqueue(start, count)`, by the queue's own bulk API, and `enqueue_one()`;
    - `start(handle)`: starts the workers, which call `handle()` once per job, and returns a task that ends with them;
    - `stop()`.
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
    async with queue.open(url, setting) as side:
        for start in range(0, jobs, ENQUEUE_CHUNK):
            await side.enqueue(start, min(ENQUEUE_CHUNK, jobs - start))
        expect("jobs enqueued", await client.fetchval(queue.unfinished), jobs)
        await client.execute("analyze")
        say(f"enqueued {jobs}")

        handled = Handled()
        progress = asyncio.create_task(show_progress(handled, jobs))
        all_handled = handled.reach(jobs)
        began = time.perf_counter()
        workers = side.start(handled)
        await unless_dead(workers, all_handled)
        await all_finished(client, queue)
        seconds = time.perf_counter() - began
        progress.cancel()
        expect("handler calls", handled.count, jobs)

        latency = await idle_latency(side, handled, workers) if setting["wakes"] else None
        expect("handler calls", handled.count, jobs + len(latency or []))
        # The last handler's end is still to be written down, and stopping may come before that.
        await all_finished(client, queue)
        await side.stop()
        await workers
    expect("jobs unfinished", await client.fetchval(queue.unfinished), 0)
    await client.close()
    await drop_database(server)
    return {
        "peer": queue.name,
        "version": version(queue.name),
        "runtime": f"python {platform.python_version()}",
        "settings": setting["described"],
        "jobs": jobs,
        "seconds": seconds,
        "per_second": jobs / seconds,
        "handled": jobs,
        "latency_ms": latency and {"p50": quantile(latency, 0.5), "p99": quantile(latency, 0.99)},
    }


async def all_finished(client, queue):
    while await client.fetchval(queue.unfinished) > 0:
        await asyncio.sleep(LOOK_S)


async def idle_latency(side, handled, workers):
    """From before the call that enqueues to the handler's first line, in one process and so by one clock."""
    samples = []
    for _ in range(LATENCY_SAMPLES):
        await asyncio.sleep(LATENCY_PAUSE_S)
        reached = handled.reach(handled.count + 1)
        began = time.perf_counter()
        await side.enqueue_one()
        try:
            ended = await asyncio.wait_for(unless_dead(workers, reached), LATENCY_TIMEOUT_S)
        except (TimeoutError, asyncio.TimeoutError):
            raise Wrong(f"a single job was not handled within {LATENCY_TIMEOUT_S} s") from None
        samples.append((ended - began) * 1000)
    return sorted(samples)


async def unless_dead(workers, awaited):
    """What is awaited, or the workers' own failure if they end before."""
    await asyncio.wait({workers, awaited}, return_when=asyncio.FIRST_COMPLETED)
    if not awaited.done():
        await workers
        raise Wrong("the workers ended before their jobs")
    return awaited.result()


async def show_progress(handled, jobs):
    while True:
        await asyncio.sleep(PROGRESS_S)
        say(f"handled {handled.count} of {jobs}")


def quantile(ordered, share):
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


def expect(what, found, expected):
    if found != expected:
        raise Wrong(f"{what}: {found}, expected {expected}")


async def demand_durability(client):
    """A queue that does not wait for the disk does other work than the rest."""
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        value = await client.fetchval("select current_setting($1)", setting)
        if value != "on":
            raise Wrong(f"the server has {setting} = {value}; it must be on")


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
