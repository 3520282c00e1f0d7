// graphile-worker. Its options, and the fast settings of its authors, are on its page "Performance"
// (worker.graphile.org/docs/performance) and in the documentation of `WorkerOptions`.

import { Logger, makeWorkerUtils, run as runWorkers } from 'graphile-worker';
import { run } from './common.mjs';

const TASK = 'noop';
/** The concurrency and the pool size of its own performance tests. */
const CONCURRENT = { concurrentJobs: 24, maxPoolSize: 25 };

const settings = {
  defaults: { description: 'defaults (concurrency 1)', wakes: true, worker: {} },
  concurrent: { description: 'concurrency 24', wakes: true, worker: CONCURRENT },
  batched: {
    description: 'concurrency 24, local queue 500, completion batched',
    wakes: true,
    worker: { ...CONCURRENT, localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 },
  },
};

async function open(connectionString, setting) {
  const logger = new Logger(() => (level, message) => level === 'error' && process.stderr.write(`${message}\n`));
  const preset = { worker: { connectionString, logger, ...setting.worker } };
  const utils = await makeWorkerUtils({ preset });
  await utils.migrate();
  let runner;
  return {
    unfinished: 'select count(*) from graphile_worker._private_jobs',
    enqueue: (from, count) =>
      utils.addJobs(Array.from({ length: count }, (_, i) => ({ identifier: TASK, payload: { i: from + i } }))),
    enqueueOne: () => utils.addJob(TASK, {}),
    async start(handle) {
      runner = await runWorkers({ preset, noHandleSignals: true, taskList: { [TASK]: () => handle() } });
    },
    async stop() {
      await runner.stop();
      await utils.release();
    },
  };
}

await run({ name: 'graphile-worker', settings, open });
