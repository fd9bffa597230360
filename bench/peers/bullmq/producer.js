'use strict';
// BullMQ's producer side; the protocol and the loads are those of bench/inside/produce.py and loads.py.

const fs = require('node:fs');
const path = require('node:path');
const readline = require('node:readline');
const { Queue, QueueEvents } = require('bullmq');
const { settings, monotonic } = require('./recorder.js');

const { hostname: host, port } = new URL(settings.url);
const connection = { host, port: Number(port) };
const options = { removeOnComplete: true, removeOnFail: 1000 };
const queues = settings.queues.map((name) => new Queue(name, { connection, defaultJobOptions: options }));
const AT_ONCE = 100;
const BATCH = 1000;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const of = (number) => queues[number % queues.length];
const say = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);
let events;

function write(stamps, name) {
  const file = path.join(settings.folder, `${name}.stamps`);
  fs.writeFileSync(file, Buffer.from(stamps.buffer));
  return file;
}

async function single({ first, count, seconds, text }) {
  const begin = monotonic();
  let number = first;
  for (; number < first + count && monotonic() < begin + seconds; number += 1) {
    await of(number).add('job', { number, text });
  }
  return { count: number - first, seconds: monotonic() - begin };
}

async function concurrent({ first, count, seconds, text }) {
  const begin = monotonic();
  let number = first;
  async function client() {
    while (number < first + count && monotonic() < begin + seconds) {
      const mine = number;
      number += 1;
      await of(mine).add('job', { number: mine, text });
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, client));
  return { count: number - first, seconds: monotonic() - begin, at_once: AT_ONCE };
}

async function bulk({ first, count, text }) {
  const begin = monotonic();
  const cpu = process.cpuUsage();
  const step = BATCH * queues.length;
  for (let start = first; start < first + count; start += step) {
    const end = Math.min(first + count, start + step);
    for (let index = 0; index < queues.length; index += 1) {
      const jobs = [];
      for (let number = start + index; number < end; number += queues.length) {
        jobs.push({ name: 'job', data: { number, text } });
      }
      if (jobs.length) await queues[index].addBulk(jobs);
    }
  }
  const spent = process.cpuUsage(cpu);
  return { count, seconds: monotonic() - begin, cpu: (spent.user + spent.system) / 1e6 };
}

async function paced({ first, count, rate, text }) {
  const stamps = new Float64Array(count);
  const begin = monotonic();
  const underWay = new Set();
  for (let index = 0; index < count; ) {
    const due = Math.min(count, Math.floor((monotonic() - begin) * rate) + 1);
    for (; index < due; index += 1) {
      while (underWay.size >= AT_ONCE) await Promise.race(underWay);
      stamps[index] = monotonic();
      const adding = of(index).add('job', { number: first + index, text });
      underWay.add(adding);
      adding.finally(() => underWay.delete(adding)).catch(() => {});
    }
    await pause(Math.max(1, 1000 * (begin + index / rate - monotonic())));
  }
  await Promise.all(underWay);
  return { count, seconds: monotonic() - begin, stamps: write(stamps, `paced-${first}`) };
}

async function results({ first, count, text }) {
  if (events === undefined) {
    events = new QueueEvents(settings.queues[0], { connection });
    await events.waitUntilReady();
  }
  const spent = [];
  for (let number = first; number < first + count; number += 1) {
    const begin = monotonic();
    // With removeOnComplete a job could be gone before anybody waits for it.
    const job = await queues[0].add('result', { number, text }, { removeOnComplete: false });
    await job.waitUntilFinished(events, 30000);
    spent.push(monotonic() - begin);
  }
  return { count, spent };
}

async function delayed({ first, count, at, spread, text }) {
  const due = new Float64Array(count).map(() => at + Math.random() * spread);
  const begin = monotonic();
  for (let start = 0; start < count; start += BATCH) {
    const now = monotonic();
    const jobs = [];
    for (let index = start; index < Math.min(count, start + BATCH); index += 1) {
      const delay = Math.max(0, Math.round(1000 * (due[index] - now)));
      jobs.push({ name: 'job', data: { number: first + index, text }, opts: { delay } });
    }
    await queues[0].addBulk(jobs);
  }
  return { count, seconds: monotonic() - begin, stamps: write(due, `delayed-${first}`) };
}

const loads = { single, concurrent, bulk, paced, results, delayed };

async function main() {
  await Promise.all(queues.map((queue) => queue.waitUntilReady()));
  say({ event: 'ready', pid: process.pid });
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { load, ...rest } = JSON.parse(line);
    try {
      if (loads[load]) say({ event: 'done', ...(await loads[load](rest)) });
      else say({ event: 'unsupported', reason: 'Node has no blocking API' });
    } catch (error) {
      console.error(error);
      say({ event: 'failed', reason: String(error) });
    }
  }
  process.exit(0);
}

main();
