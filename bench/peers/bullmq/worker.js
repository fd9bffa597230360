'use strict';
// BullMQ's worker side: one Worker a queue, as BullMQ has it.

const { Worker } = require('bullmq');
const { settings, record, monotonic } = require('./recorder.js');

const { hostname: host, port } = new URL(settings.url);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function run(job) {
  switch (settings.work) {
    case 'none':
      break;
    case 'sleep':
      await pause(1);
      break;
    case 'cpu': {
      const end = monotonic() + 0.001;
      while (monotonic() < end);
      break;
    }
    case 'hold':
      await pause(1000 * settings.hold);
      break;
    default:
      throw new Error(`no such work: ${settings.work}`);
  }
  record(job.data.number);
  return job.name === 'result' ? job.data.number : undefined;
}

const workers = settings.queues.map(
  (queue) =>
    new Worker(queue, run, { connection: { host, port: Number(port) }, concurrency: settings.concurrency }),
);
workers.forEach((worker) => worker.on('error', (error) => console.error(error)));
process.on('SIGTERM', async () => {
  await Promise.all(workers.map((worker) => worker.close()));
  process.exit(0);
});
