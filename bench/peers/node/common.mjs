// The measurement, which is the same for every queue for Node.js. It creates a database. All jobs
// are enqueued before the clock starts. The clock stops when the database has no unfinished job.
// Then single jobs are enqueued into the idle queue.
//
// Usage: `node PROGRAM SETTING JOBS DEADLINE_SECONDS`, with the URL of the server in PEER_POSTGRES.
// Progress goes to stderr. The result goes to stdout as one line of JSON. A failure has a non-zero
// exit code, and the last line on stderr is its reason.

import { readFileSync } from 'node:fs';
import pg from 'pg';

const DATABASE = 'tidegate_peer_node';
/** The number of jobs in one bulk call. Larger statements exceed the limits of some queues. */
export const ENQUEUE_CHUNK = 2000;
/**
 * The number of single jobs for the idle latency. With 200 samples, two slow ones do not decide the
 * 99th percentile.
 */
const LATENCY_SAMPLES = 200;
/** The pause between two single jobs, so that the queue can complete the job and become idle. */
const LATENCY_PAUSE_MS = 20;
const LATENCY_TIMEOUT_MS = 10_000;
const PROGRESS_INTERVAL_MS = 2000;
const CHECK_INTERVAL_MS = 5;

export function say(text) {
  process.stderr.write(`${text}\n`);
}

/** The installed version. package.json of this folder has only the requested range. */
export function versionOf(name) {
  return JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, import.meta.url))).version;
}

/**
 * Measures one queue in one of its settings and exits.
 *
 * `queue.settings[name]` is `{ description, wakes, … }`. `queue.open(url, setting)` returns an
 * adapter:
 * - `enqueue(from, count)` enqueues jobs by the bulk call of the queue;
 * - `enqueueOne()` enqueues a single job;
 * - `start(handle)` starts the workers, which call `handle()` once for each job;
 * - `stop()` stops the workers;
 * - `unfinished` is SQL that counts the unfinished jobs.
 */
export async function run(queue) {
  const [name, jobsText, deadlineText] = process.argv.slice(2);
  const setting = queue.settings[name];
  const jobs = Number(jobsText);
  const deadlineMs = Number(deadlineText) * 1000;
  const server = process.env.PEER_POSTGRES;
  if (!setting || !(jobs > 0) || !(deadlineMs > 0) || !server) {
    fail(`usage: PEER_POSTGRES=postgres://… PROGRAM ${Object.keys(queue.settings).join('|')} JOBS DEADLINE_SECONDS`);
  }
  const timer = setTimeout(() => fail(`not done after ${deadlineText} s`), deadlineMs);
  try {
    const result = await measure(queue, setting, jobs, server);
    process.stdout.write(`${JSON.stringify(result)}\n`);
    clearTimeout(timer);
    process.exit(0);
  } catch (error) {
    say(error.stack ?? '');
    fail(error.message);
  }
}

function fail(reason) {
  say(String(reason).replaceAll('\n', ' '));
  process.exit(1);
}

async function measure(queue, setting, jobs, server) {
  const url = await freshDatabase(server);
  const client = new pg.Client(url);
  await client.connect();
  await demandDurability(client);
  const adapter = await queue.open(url, setting);
  const unfinished = async () => Number((await client.query(adapter.unfinished)).rows[0].count);
  const finished = async () => {
    while ((await unfinished()) > 0) await pause(CHECK_INTERVAL_MS);
  };

  for (let from = 0; from < jobs; from += ENQUEUE_CHUNK) {
    await adapter.enqueue(from, Math.min(ENQUEUE_CHUNK, jobs - from));
  }
  expect('jobs enqueued', await unfinished(), jobs);
  await client.query('analyze');
  say(`enqueued ${jobs}`);

  let handled = 0;
  let onHandled = () => {};
  const handle = () => {
    handled += 1;
    onHandled();
  };
  const progress = setInterval(() => say(`handled ${handled} of ${jobs}`), PROGRESS_INTERVAL_MS);
  const startedAt = performance.now();
  await adapter.start(handle);
  if (handled < jobs) {
    await new Promise((resolve) => {
      onHandled = () => handled >= jobs && resolve();
      onHandled();
    });
  }
  await finished();
  const seconds = (performance.now() - startedAt) / 1000;
  clearInterval(progress);
  expect('handler calls', handled, jobs);

  const latency = setting.wakes ? await idleLatency(adapter, (callback) => (onHandled = callback)) : null;
  expect('handler calls', handled, jobs + (latency?.length ?? 0));
  // The completion of the last job may not be written yet, and a stop would prevent it.
  await finished();
  await adapter.stop();
  expect('jobs unfinished', await unfinished(), 0);
  await client.end();
  await dropDatabase(server);
  return {
    peer: queue.name,
    version: versionOf(queue.name),
    runtime: `node ${process.versions.node}`,
    settings: setting.description,
    jobs,
    seconds,
    per_second: jobs / seconds,
    handled: jobs,
    latency_ms: latency && { p50: quantile(latency, 0.5), p99: quantile(latency, 0.99) },
  };
}

/**
 * The times in milliseconds from before the enqueue to the start of the handler, sorted. Both run
 * in this process and use the same clock.
 */
async function idleLatency(adapter, onHandled) {
  const samples = [];
  for (let sample = 0; sample < LATENCY_SAMPLES; sample += 1) {
    await pause(LATENCY_PAUSE_MS);
    const startedAt = performance.now();
    const handled = new Promise((resolve, reject) => {
      const late = setTimeout(
        () => reject(new Error(`a single job was not handled within ${LATENCY_TIMEOUT_MS} ms`)),
        LATENCY_TIMEOUT_MS,
      );
      onHandled(() => {
        clearTimeout(late);
        resolve(performance.now() - startedAt);
      });
    });
    await adapter.enqueueOne();
    samples.push(await handled);
  }
  onHandled(() => {});
  return samples.sort((a, b) => a - b);
}

function quantile(sorted, share) {
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)];
}

function expect(name, count, expected) {
  if (count !== expected) throw new Error(`${name}: ${count}, expected ${expected}`);
}

export function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Fails unless commits wait for the disk. Without that, the queues would not do the same work. */
async function demandDurability(client) {
  for (const setting of ['fsync', 'synchronous_commit', 'full_page_writes']) {
    const { rows } = await client.query('select current_setting($1) as value', [setting]);
    if (rows[0].value !== 'on') throw new Error(`the server has ${setting} = ${rows[0].value}; it must be on`);
  }
}

async function freshDatabase(server) {
  await dropDatabase(server);
  await asAdministrator(server, `create database ${DATABASE}`);
  const url = new URL(server);
  url.pathname = `/${DATABASE}`;
  return url.href;
}

async function dropDatabase(server) {
  await asAdministrator(server, `drop database if exists ${DATABASE} with (force)`);
}

async function asAdministrator(server, statement) {
  const client = new pg.Client(server);
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
