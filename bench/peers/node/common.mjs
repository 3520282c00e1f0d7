// What every queue for Node.js is put through, so that only the queue differs: a database of its own, the jobs enqueued
// before the clock starts, the clock stopped when the database says that nothing is left, and then single jobs into the
// idle queue.
//
// Called as `node PROGRAM SETTING JOBS DEADLINE_SECONDS`, with the server's URL in PEER_POSTGRES. Progress goes to
// stderr, the result to stdout as one line of JSON; a failure ends with a non-zero exit and its reason as stderr's last
// line.

import { readFileSync } from 'node:fs';
import pg from 'pg';

const DATABASE = 'tidegate_peer_node';
/** One call enqueues as many: enough to be quick, few enough for every queue's statement. */
export const ENQUEUE_CHUNK = 2000;
/** Single jobs into the idle queue: 200 give a 99th percentile that two slow ones do not make up. */
const LATENCY_SAMPLES = 200;
/** Between two of them everything comes to rest, completion included. */
const LATENCY_PAUSE_MS = 20;
const LATENCY_TIMEOUT_MS = 10_000;
const PROGRESS_MS = 2000;
const LOOK_MS = 5;

export function say(text) {
  process.stderr.write(`${text}\n`);
}

/** The version that is installed, from the package itself: package.json only says what was asked for. */
export function versionOf(name) {
  return JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, import.meta.url))).version;
}

/**
 * Runs one queue in one of its settings and exits.
 *
 * `queue.settings[name]` is `{ described, wakes, … }`; `queue.open(url, setting)` gives the queue's side:
 * - `enqueue(from, count)` enqueues jobs by the queue's own bulk API;
 * - `enqueueOne()` enqueues one that is handled like the others;
 * - `start(handle)` starts the workers, which call `handle()` once per job;
 * - `stop()` ends them;
 * - `unfinished` is SQL that counts the jobs that are not finished.
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
  const side = await queue.open(url, setting);
  const unfinished = async () => Number((await client.query(side.unfinished)).rows[0].count);
  const finished = async () => {
    while ((await unfinished()) > 0) await pause(LOOK_MS);
  };

  for (let from = 0; from < jobs; from += ENQUEUE_CHUNK) {
    await side.enqueue(from, Math.min(ENQUEUE_CHUNK, jobs - from));
  }
  expect('jobs enqueued', await unfinished(), jobs);
  await client.query('analyze');
  say(`enqueued ${jobs}`);

  let handled = 0;
  let woken = () => {};
  const handle = () => {
    handled += 1;
    woken();
  };
  const progress = setInterval(() => say(`handled ${handled} of ${jobs}`), PROGRESS_MS);
  const began = performance.now();
  await side.start(handle);
  if (handled < jobs) {
    await new Promise((resolve) => {
      woken = () => handled >= jobs && resolve();
      woken();
    });
  }
  await finished();
  const seconds = (performance.now() - began) / 1000;
  clearInterval(progress);
  expect('handler calls', handled, jobs);

  const latency = setting.wakes ? await idleLatency(side, (callback) => (woken = callback)) : null;
  expect('handler calls', handled, jobs + (latency?.length ?? 0));
  // The last handler's end is still to be written down, and stopping may come before that.
  await finished();
  await side.stop();
  expect('jobs unfinished', await unfinished(), 0);
  await client.end();
  await dropDatabase(server);
  return {
    peer: queue.name,
    version: versionOf(queue.name),
    runtime: `node ${process.versions.node}`,
    settings: setting.described,
    jobs,
    seconds,
    per_second: jobs / seconds,
    handled: jobs,
    latency_ms: latency && { p50: quantile(latency, 0.5), p99: quantile(latency, 0.99) },
  };
}

/** From before the call that enqueues to the handler's first line, in one process and so by one clock. */
async function idleLatency(side, onHandled) {
  const samples = [];
  for (let sample = 0; sample < LATENCY_SAMPLES; sample += 1) {
    await pause(LATENCY_PAUSE_MS);
    const began = performance.now();
    const handled = new Promise((resolve, reject) => {
      const late = setTimeout(
        () => reject(new Error(`a single job was not handled within ${LATENCY_TIMEOUT_MS} ms`)),
        LATENCY_TIMEOUT_MS,
      );
      onHandled(() => {
        clearTimeout(late);
        resolve(performance.now() - began);
      });
    });
    await side.enqueueOne();
    samples.push(await handled);
  }
  onHandled(() => {});
  return samples.sort((a, b) => a - b);
}

function quantile(sorted, share) {
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)];
}

function expect(what, found, expected) {
  if (found !== expected) throw new Error(`${what}: ${found}, expected ${expected}`);
}

export function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** A queue that does not wait for the disk does other work than the rest. */
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
