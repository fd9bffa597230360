// The official Node client against the emulator: node tasks.mjs grpc|rest HOST PORT RECEIVER
// Prints what it saw as one JSON document; the test that starts it judges.
import { CloudTasksClient } from '@google-cloud/tasks';
import grpc from '@grpc/grpc-js';

const [kind, host, port, receiver] = process.argv.slice(2);

// Nobody is asked for credentials: the fallback to REST wants to have some all the same.
const nobody = {
  getRequestHeaders: async () => ({}),
  getProjectId: async () => 'shop',
  getUniverseDomain: async () => 'googleapis.com',
  fetch: (url, options) => fetch(url, options),
};
const client = new CloudTasksClient({
  servicePath: host,
  port: Number(port),
  projectId: 'shop',
  ...(kind === 'grpc'
    ? { sslCreds: grpc.credentials.createInsecure() }
    : { fallback: true, protocol: 'http', auth: nobody }),
});

const seen = {};
const location = client.locationPath('shop', 'europe-west6');
const queue = client.queuePath('shop', 'europe-west6', `node-${kind}`);
const httpRequest = {
  url: receiver,
  headers: { 'Content-Type': 'application/json' },
  body: Buffer.from(JSON.stringify({ from: kind })).toString('base64'),
  oidcToken: { serviceAccountEmail: 'robot@shop.iam.gserviceaccount.com' },
};

const [created] = await client.createQueue({
  parent: location,
  queue: { name: queue, retryConfig: { maxAttempts: 3 } },
});
seen.attempts = created.retryConfig.maxAttempts;
seen.rate = created.rateLimits.maxDispatchesPerSecond;

const [updated] = await client.updateQueue({
  queue: { name: queue, rateLimits: { maxDispatchesPerSecond: 50 } },
  updateMask: { paths: ['rate_limits.max_dispatches_per_second'] },
});
seen.updated = [updated.rateLimits.maxDispatchesPerSecond, updated.retryConfig.maxAttempts];

seen.paused = (await client.pauseQueue({ name: queue }))[0].state;
const task = { name: `${queue}/tasks/first`, httpRequest };
await client.createTask({ parent: queue, task });
for (let number = 0; number < 4; number++) {
  await client.createTask({ parent: queue, task: { httpRequest } });
}
seen.duplicate = await client.createTask({ parent: queue, task }).then(
  () => 'created',
  (error) => error.code,
);
seen.missing = await client.getTask({ name: `${queue}/tasks/none` }).then(
  () => 'found',
  (error) => error.code,
);
const [full] = await client.getTask({ name: task.name, responseView: 'FULL' });
seen.body = Buffer.from(full.httpRequest.body).toString();
seen.listed = 0;
for await (const found of client.listTasksAsync({ parent: queue, pageSize: 2 })) {
  seen.listed += found.name.startsWith(`${queue}/tasks/`) ? 1 : 0;
}
seen.resumed = (await client.resumeQueue({ name: queue }))[0].state;

console.log(JSON.stringify(seen));
await client.close();
