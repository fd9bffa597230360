// The real BullMQ and Bull, as the other side of the tests of `headway migrate`.
//
//   node driver.js serve    LIBRARY URL PREFIX           answers one JSON line with one: {op, queue, ...} -> {ok} or {error}
//   node driver.js work     LIBRARY URL PREFIX QUEUE LEDGER CONCURRENCY LOCK_MS   runs jobs until it is killed
//   node driver.js produce  LIBRARY URL PREFIX QUEUE LEDGER PER_SECOND MS   adds jobs until it is killed
//
// Jobs of `produce` take MS each.
// A ledger is a file outside of every store: one line a started (work) or accepted (produce) job, written before going on.
'use strict';

const fs = require('fs');
const path = require('path');
const readline = require('readline');

const installed = process.env.HEADWAY_NODE_MODULES;
const load = name => require(path.join(installed, name));

function book(file) {
  const handle = fs.openSync(file, 'a');
  return line => fs.writeSync(handle, JSON.stringify(line) + '\n');
}

const wait = ms => new Promise(resolve => setTimeout(resolve, ms));

// What a job does is said by its data: `fail` is how many attempts fail, `log` and `progress` are written, `last` gives up.
async function perform(job, unrecoverable) {
  const plan = (job.data && job.data.plan) || {};
  if (plan.log) for (const line of plan.log) await job.log(line);
  if (plan.progress !== undefined) {
    await (job.updateProgress ? job.updateProgress(plan.progress) : job.progress(plan.progress));
  }
  if (plan.ms) await wait(plan.ms);
  if (plan.fail && job.attemptsMade < plan.fail) throw new Error('planned failure ' + (job.attemptsMade + 1));
  return { done: job.id };
}

class BullMQ {
  constructor(library, url, prefix) {
    this.kit = load(library);
    this.connection = { url, maxRetriesPerRequest: null };
    this.prefix = prefix;
    this.queues = {};
  }
  queue(name) {
    this.queues[name] = this.queues[name] || new this.kit.Queue(name, { connection: this.connection, prefix: this.prefix });
    return this.queues[name];
  }
  async add({ queue, name, data, opts }) {
    return (await this.queue(queue).add(name, data, opts)).id;
  }
  async addBulk({ queue, jobs }) {
    return (await this.queue(queue).addBulk(jobs)).map(job => job.id);
  }
  async schedule({ queue, id, repeat, name, data, opts }) {
    return (await this.queue(queue).upsertJobScheduler(id, repeat, { name, data, opts })).id;
  }
  async schedulers({ queue }) {
    return await this.queue(queue).getJobSchedulers();
  }
  async flow({ tree }) {
    const producer = new this.kit.FlowProducer({ connection: this.connection, prefix: this.prefix });
    const made = await producer.add(tree);
    await producer.close();
    const ids = node => ({ id: node.job.id, children: (node.children || []).map(ids) });
    return ids(made);
  }
  start({ queue, ledger, concurrency = 1, lock = 30000, stalled = 30000 }) {
    const write = ledger ? book(ledger) : () => {};
    const worker = new this.kit.Worker(
      queue,
      async job => {
        write({ id: job.id, name: job.name, data: job.data, attempt: job.attemptsMade, at: Date.now(), pid: process.pid,
                opts: job.opts, children: job.getChildrenValues ? await job.getChildrenValues() : {} });
        return await perform(job);
      },
      { connection: this.connection, prefix: this.prefix, concurrency, lockDuration: lock, stalledInterval: stalled },
    );
    worker.on('error', error => process.stderr.write('worker: ' + error.message + '\n'));
    return { worker, stop: () => worker.close() };
  }
}

class Bull {
  constructor(library, url, prefix) {
    this.kit = load(library);
    this.url = url;
    this.prefix = prefix;
    this.queues = {};
  }
  open(name, settings = {}) {
    const queue = new this.kit(name, this.url, { prefix: this.prefix, settings: { guardInterval: 500, ...settings } });
    queue.on('error', error => process.stderr.write('queue: ' + error.message + '\n'));
    return queue;
  }
  queue(name) {
    this.queues[name] = this.queues[name] || this.open(name);
    return this.queues[name];
  }
  async add({ queue, name, data, opts }) {
    const job = await (name ? this.queue(queue).add(name, data, opts) : this.queue(queue).add(data, opts));
    return job.id;
  }
  async addBulk({ queue, jobs }) {
    return (await this.queue(queue).addBulk(jobs)).map(job => job.id);
  }
  async schedule({ queue, repeat, name, data, opts }) {
    return await this.add({ queue, name, data, opts: { ...opts, repeat } });
  }
  async schedulers({ queue }) {
    return await this.queue(queue).getRepeatableJobs();
  }
  start({ queue, ledger, concurrency = 1, lock = 30000, stalled = 30000 }) {
    const write = ledger ? book(ledger) : () => {};
    const worker = this.open(queue, { lockDuration: lock, stalledInterval: stalled });
    worker.process('*', concurrency, async job => {
      write({ id: job.id, name: job.name, data: job.data, attempt: job.attemptsMade, at: Date.now(), pid: process.pid,
              opts: job.opts });
      return await perform(job);
    });
    return { worker, stop: () => worker.close() };
  }
}

// What both libraries do alike.
const shared = {
  async pause(library, { queue }) {
    await library.queue(queue).pause();
  },
  async resume(library, { queue }) {
    await library.queue(queue).resume();
  },
  async repeat(library, { queue, name, data, opts }) {
    return (await library.queue(queue).add(name, data, opts)).id;
  },
  async remove(library, { queue, id }) {
    const job = await library.queue(queue).getJob(id);
    await job.remove();
  },
  async counts(library, { queue }) {
    return await library.queue(queue).getJobCounts();
  },
  async job(library, { queue, id }) {
    const job = await library.queue(queue).getJob(id);
    if (!job) return null;
    const logs = await library.queue(queue).getJobLogs(id);
    return { state: await job.getState(), json: job.toJSON(), logs: logs.logs };
  },
  // Runs jobs here until `n` have ended (completed or failed for good or to be retried), then stops.
  async work(library, { queue, n, ledger, timeout = 20000 }) {
    const running = library.start({ queue, ledger });
    let ended = 0;
    const done = new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${ended} of ${n} ended`)), timeout);
      const count = () => {
        ended += 1;
        if (ended >= n) { clearTimeout(timer); resolve(); }
      };
      running.worker.on('completed', count);
      running.worker.on('failed', count);
    });
    try { await done; } finally { await running.stop(); }
    return ended;
  },
};

function open(library, url, prefix) {
  return library.startsWith('bullmq') ? new BullMQ(library, url, prefix) : new Bull(library, url, prefix);
}

async function serve(library) {
  const lines = readline.createInterface({ input: process.stdin });
  for await (const line of lines) {
    const { op, ...call } = JSON.parse(line);
    let answer;
    try {
      const ok = op in shared ? await shared[op](library, call) : await library[op](call);
      answer = { ok: ok === undefined ? null : ok };
    } catch (error) {
      answer = { error: String(error && error.stack || error) };
    }
    process.stdout.write(JSON.stringify(answer) + '\n');
  }
  process.exit(0);
}

async function produce(library, queue, ledger, perSecond, ms) {
  const write = book(ledger);
  const every = 1000 / perSecond;
  let due = Date.now();
  for (let n = 0; ; n += 1) {
    const data = { n, by: process.pid, plan: { ms } };
    const opts = [{}, { priority: 1 + (n % 3) }, { delay: 200 }, { lifo: true }][n % 4];
    const key = `${process.pid}-${n}`;
    write({ trying: key });
    const id = await library.add({ queue, name: 'work', data: { ...data, key }, opts });
    write({ accepted: key, id });
    due += every;
    const left = due - Date.now();
    if (left > 0) await wait(left);
  }
}

async function main() {
  const [mode, name, url, prefix, ...rest] = process.argv.slice(2);
  const library = open(name, url, prefix);
  if (mode === 'serve') return await serve(library);
  if (mode === 'work') {
    const [queue, ledger, concurrency, lock] = rest;
    library.start({ queue, ledger, concurrency: Number(concurrency), lock: Number(lock || 30000), stalled: Number(lock || 30000) });
    return;
  }
  if (mode === 'produce') return await produce(library, rest[0], rest[1], Number(rest[2]), Number(rest[3]));
  throw new Error(`no mode ${mode}`);
}

main().catch(error => { process.stderr.write(String(error.stack) + '\n'); process.exit(1); });
