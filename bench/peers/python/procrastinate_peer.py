"""procrastinate. Its guide "Execute multiple jobs at the same time" documents the concurrency.

Its guide "Delete finished jobs" explains how to keep the table small.
"""

import asyncio
import logging
from contextlib import asynccontextmanager, suppress

import procrastinate

from common import run

# It logs a line for each job by default.
logging.getLogger("procrastinate").setLevel(logging.ERROR)


class Queue:
    name = "procrastinate"
    unfinished = "select count(*) from procrastinate_jobs where status in ('todo', 'doing')"
    settings = {
        "defaults": {"description": "defaults (concurrency 1)", "wakes": True, "worker": {}, "pool": {}},
        "concurrent": {
            "description": "concurrency 30, 32 connections, finished jobs deleted",
            "wakes": True,
            "worker": {"concurrency": 30, "delete_jobs": "always"},
            "pool": {"max_size": 32},
        },
    }

    @staticmethod
    @asynccontextmanager
    async def open(url, setting):
        app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url, **setting["pool"]))
        async with app.open_async():
            await app.schema_manager.apply_schema_async()
            yield Adapter(app, setting["worker"])


class Adapter:
    def __init__(self, app, options):
        self.app = app
        self.options = options
        self.handle = None
        self.worker = None

        @app.task(name="noop")
        async def noop(i):
            self.handle()

        self.task = noop

    async def enqueue(self, start, count):
        await self.task.batch_defer_async(*({"i": i} for i in range(start, start + count)))

    async def enqueue_one(self):
        await self.task.defer_async(i=-1)

    def start(self, handle):
        self.handle = handle
        self.worker = asyncio.create_task(
            self.app.run_worker_async(install_signal_handlers=False, **self.options)
        )
        return asyncio.create_task(self._ended())

    async def _ended(self):
        with suppress(asyncio.CancelledError):
            await self.worker

    async def stop(self):
        # A cancelled worker finishes the jobs that it has fetched.
        self.worker.cancel()


run(Queue)
