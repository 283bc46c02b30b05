// A BullMQ program beside a daemon: each line of stdin is {do, queue, ...}, answered with one line of JSON.
// argv: port, prefix. $BULLMQ is the package: bullmq or bullmq5.
const { Queue, Worker, FlowProducer, UnrecoverableError } = require(process.env.BULLMQ || "bullmq");

const [port, prefix] = process.argv.slice(2);
const at = { connection: { host: "127.0.0.1", port: Number(port) }, prefix };
const queues = {};
const queue = (name) => (queues[name] ??= new Queue(name, at));

async function handle(job) {
  await job.log(`working on ${job.name}`);
  if (job.name === "fail" || (job.name === "flaky" && job.attemptsMade === 0)) throw new Error("boom");
  if (job.name === "fatal") throw new UnrecoverableError("fatal");
  if (job.name === "sum") return Object.values(await job.getChildrenValues()).reduce((all, each) => all + each.n, 0);
  return { n: 2, data: job.data };
}

const verbs = {
  async add({ queue: name, jobs }) {
    const ids = [];
    for (const [kind, data, opts] of jobs) ids.push((await queue(name).add(kind, data, opts)).id);
    return ids;
  },
  async flow({ tree }) {
    const flows = new FlowProducer(at);
    const node = await flows.add(tree);
    await flows.close();
    return node.job.id;
  },
  // Runs the queues until so many jobs have ended in them.
  async work({ queues: names, ends }) {
    let left = ends;
    await new Promise((done) => {
      const ended = () => --left === 0 && done();
      const workers = names.map((name) => new Worker(name, handle, at));
      verbs.workers = workers;
      for (const worker of workers) {
        worker.on("completed", ended);
        worker.on("failed", (job) => (job.finishedOn ? ended() : null));
      }
    });
    await Promise.all(verbs.workers.map((worker) => worker.close()));
    return true;
  },
  async pause({ queue: name }) { await queue(name).pause(); return true; },
  async resume({ queue: name }) { await queue(name).resume(); return true; },
  async retry({ queue: name, id }) { await (await queue(name).getJob(id)).retry(); return true; },
  async promote({ queue: name, id }) { await (await queue(name).getJob(id)).promote(); return true; },
  async remove({ queue: name, id }) { await (await queue(name).getJob(id)).remove(); return true; },
  async look({ queue: name, id }) {
    // The state before the fields: a job that has ended by then is read with its end.
    const state = await queue(name).getJobState(id);
    const job = await queue(name).getJob(id);
    if (!job) return null;
    const { logs } = await queue(name).getJobLogs(id);
    return {
      name: job.name, data: job.data, state, result: job.returnvalue ?? null,
      reason: job.failedReason ?? null, attempts: job.attemptsMade, progress: job.progress, logs,
    };
  },
};

async function main() {
  for await (const line of require("readline").createInterface({ input: process.stdin })) {
    const request = JSON.parse(line);
    console.log(JSON.stringify(await verbs[request.do](request).catch((error) => ({ error: String(error.stack) }))));
  }
  process.exit(0);
}

main();
