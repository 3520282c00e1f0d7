// pg-boss. Its options are documented at pgboss.io/api/workers, at pgboss.io/api/queues, and with
// the types `WorkOptions`, `Queue` and `ConstructorOptions`.

import { PgBoss } from 'pg-boss';
import { run } from './common.mjs';

const QUEUE = 'noop';

const settings = {
  // A worker takes one job every two seconds.
  defaults: { description: 'defaults (1 job every 2 s)', wakes: false, instance: {}, queue: {}, worker: {} },
  // An idle worker is woken by notifications. It fetches without a pause while batches are full.
  // The documentation recommends a separate partition for a large queue.
  batched: {
    description: 'batch 1000, 2 workers, burst while batches are full, notify, own partition',
    wakes: true,
    instance: { useListenNotify: true },
    queue: { notify: true, partition: true },
    worker: { batchSize: 1000, localConcurrency: 2, burstWhenBatchFull: true, pollingIntervalSeconds: 0.5 },
  },
};

async function open(connectionString, setting) {
  const boss = new PgBoss({ connectionString, ...setting.instance });
  boss.on('error', (error) => process.stderr.write(`${error.message}\n`));
  await boss.start();
  await boss.createQueue(QUEUE, setting.queue);
  return {
    // Completed jobs stay for a week by default.
    unfinished: `select count(*) from pgboss.job where name = '${QUEUE}' and state <> 'completed'`,
    enqueue: (from, count) =>
      boss.insert(QUEUE, Array.from({ length: count }, (_, i) => ({ data: { i: from + i } }))),
    enqueueOne: () => boss.send(QUEUE, {}),
    start: (handle) =>
      boss.work(QUEUE, setting.worker, async (jobs) => {
        for (const _ of jobs) handle();
      }),
    stop: () => boss.stop({ graceful: true }),
  };
}

await run({ name: 'pg-boss', settings, open });
