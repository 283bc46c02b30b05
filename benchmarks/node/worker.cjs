// One BullMQ worker. argv: the Redis URL, the queue, the concurrency. Prints "ready" when it listens.
// A job with `sent_ns` in its data returns how many nanoseconds ago that was; every other job does nothing.
// Both sides read CLOCK_MONOTONIC, so the difference is real time between two processes.
const { Worker } = require('bullmq');

const [url, queue, concurrency] = process.argv.slice(2);

async function handle(job) {
  return job.data.sent_ns === undefined ? null : Number(process.hrtime.bigint()) - job.data.sent_ns;
}

const worker = new Worker(queue, handle, { connection: { url }, concurrency: Number(concurrency) });
worker.waitUntilReady().then(() => console.log('ready'));
process.stdin.on('end', () => process.exit(0)).resume(); // whoever started us is gone
