'use strict';
// Which jobs ran, how often and when; the layout is that of bench/inside/recorder.py. Node cannot map a file, so what
// has changed is written every 20 ms.

const fs = require('node:fs');
const path = require('node:path');

const settings = JSON.parse(process.env.BENCH_CONFIGURATION);
const capacity = settings.capacity;
const times = new Float64Array(capacity);
const counts = new Uint8Array(capacity);
let low = capacity;
let high = -1;
let file;

const monotonic = () => Number(process.hrtime.bigint()) / 1e9;

function record(number) {
  counts[number] += 1;
  times[number] = monotonic();
  if (number < low) low = number;
  if (number > high) high = number;
}

function flush() {
  if (high < low) return;
  if (file === undefined) {
    file = fs.openSync(path.join(settings.folder, `${process.pid}.tally`), 'w');
    fs.ftruncateSync(file, 9 * capacity);
  }
  const length = high - low + 1;
  // The times first: who sees the count may read the time.
  fs.writeSync(file, Buffer.from(times.buffer, 8 * low, 8 * length), 0, 8 * length, 8 * low);
  fs.writeSync(file, Buffer.from(counts.buffer, low, length), 0, length, 8 * capacity + low);
  low = capacity;
  high = -1;
}

setInterval(flush, 20).unref();
process.on('exit', flush);

module.exports = { settings, record, monotonic };
