// BullMQ as the oracle of one scenario: adds its jobs to a queue and, in mode "run", also works them off.
// argv: redis url, prefix, queue, mode (add | run), jobs as JSON: [[name, data, opts], …]. What a job does is its name.
const { Queue, Worker, DelayedError, RateLimitError, UnrecoverableError } = require("bullmq");

const [url, prefix, name, mode, text] = process.argv.slice(2);
const options = { connection: { url }, prefix };

async function main() {
  const queue = new Queue(name, options);
  for (const [kind, data, opts] of JSON.parse(text)) await queue.add(kind, data, opts);
  if (mode === "run") await work(queue);
  await queue.close();
}

async function work(queue) {
  const worker = new Worker(name, (job, token) => process_(queue, worker, job, token), {
    ...options, concurrency: 1, skipStalledCheck: true, drainDelay: 1,
  });
  worker.on("error", (error) => { throw error; });
  while ((await queue.getJobCountByTypes("waiting", "active", "delayed", "prioritized")) > 0) {
    await new Promise((next) => setTimeout(next, 10));
  }
  await worker.close();
}

async function process_(queue, worker, job, token) {
  if (job.name === "fail" || (job.name === "flaky" && job.attemptsMade === 0)) throw new Error("boom");
  if (job.name === "fatal") throw new UnrecoverableError("fatal");
  if (job.name === "later" && job.attemptsStarted === 1) {
    await job.moveToDelayed(Date.now() + 30, token);
    throw new DelayedError();
  }
  if (job.name === "limited" && job.attemptsStarted === 1) {
    await worker.rateLimit(40);
    throw new RateLimitError();
  }
  if (job.name === "parks" && job.data.first) await queue.add("parks", { first: false }, job.data.next);
  return job.name === "nothing" ? undefined : { ok: true };
}

main().catch((error) => { console.error(error); process.exit(1); });
