// The producer of both sides: BullMQ's own Queue, told what to do by JSON lines on stdin, one answer a line on stdout.
// argv: the Redis URL. Requests: {"do": NAME, "queue": NAME, ...}, see `actions`. It ends with its stdin.
const { Queue } = require('bullmq');
const readline = require('node:readline');

const [url] = process.argv.slice(2);
const BULK = 1000; // jobs in one addBulk: one transaction and one reply
const queues = new Map();

function queueOf(name) {
  if (!queues.has(name)) queues.set(name, new Queue(name, { connection: { url } }));
  return queues.get(name);
}

// With `keys` each job's data names one of so many keys.
async function addBulk(queue, { count, keys }) {
  const data = (i) => (keys ? { i, key: i % keys } : { i });
  for (let done = 0; done < count; done += BULK) {
    const size = Math.min(BULK, count - done);
    await queue.addBulk(Array.from({ length: size }, (_, i) => ({ name: 'noop', data: data(done + i) })));
  }
}

async function addOneByOne(queue, count) {
  for (let i = 0; i < count; i++) await queue.add('noop', { i });
}

// Adds `batch` jobs every `every_ms`, `count` in all, on a fixed grid, so that a late tick does not shift later ones.
async function addPaced(queue, { count, every_ms, batch = 1 }) {
  const start = performance.now();
  for (let done = 0; done < count; done += batch) {
    const wait = start + (done / batch) * every_ms - performance.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    await Promise.all(
      Array.from({ length: batch }, () => queue.add('stamp', { sent_ns: Number(process.hrtime.bigint()) })),
    );
  }
}

const actions = {
  pause: ({ queue }) => queueOf(queue).pause(),
  resume: ({ queue }) => queueOf(queue).resume(),
  bulk: (request) => addBulk(queueOf(request.queue), request),
  one_by_one: ({ queue, count }) => addOneByOne(queueOf(queue), count),
  paced: (request) => addPaced(queueOf(request.queue), request),
};

async function main() {
  console.log(JSON.stringify({ ready: true }));
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const request = JSON.parse(line);
    const start = performance.now();
    await actions[request.do](request);
    console.log(JSON.stringify({ seconds: (performance.now() - start) / 1000 }));
  }
  process.exit(0);
}

main();
