"""pgqueuer. Its guide "Performance Tuning" documents its settings.

Its page "Benchmarks" recommends the driver asyncpg, and its own command line runs on uvloop.
"""

import asyncio
from contextlib import asynccontextmanager

import asyncpg
import uvloop
from pgqueuer import PgQueuer, Queries
from pgqueuer.db import AsyncpgDriver

from common import run

ENTRYPOINT = "noop"


class Queue:
    name = "pgqueuer"
    unfinished = "select count(*) from pgqueuer"
    settings = {
        "defaults": {"description": "defaults (batch 10)", "wakes": True, "run": {}, "autovacuum": False},
        "batched": {
            "description": "batch 500, its autovacuum settings",
            "wakes": True,
            "run": {"batch_size": 500},
            "autovacuum": True,
        },
    }

    @staticmethod
    @asynccontextmanager
    async def open(url, setting):
        producer, consumer = await asyncpg.connect(url), await asyncpg.connect(url)
        try:
            queries = Queries(AsyncpgDriver(producer))
            await queries.install()
            if setting["autovacuum"]:
                await queries.optimize_autovacuum()
            yield Adapter(queries, PgQueuer(AsyncpgDriver(consumer)), setting["run"])
        finally:
            await producer.close()
            await consumer.close()


class Adapter:
    def __init__(self, queries, workers, options):
        self.queries = queries
        self.workers = workers
        self.options = options

    async def enqueue(self, start, count):
        payloads = [b'{"i": %d}' % i for i in range(start, start + count)]
        await self.queries.enqueue([ENTRYPOINT] * count, payloads, [0] * count)

    async def enqueue_one(self):
        await self.queries.enqueue(ENTRYPOINT, b"{}", 0)

    def start(self, handle):
        @self.workers.entrypoint(ENTRYPOINT)
        async def noop(job):
            handle()

        return asyncio.create_task(self.workers.run(**self.options))

    async def stop(self):
        self.workers.shutdown.set()


run(Queue, uvloop.run)
