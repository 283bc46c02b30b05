// A BullMQ peer that does one thing and prints JSON: node peer.cjs PORT PREFIX QUEUE VERB ($BULLMQ: another version)
const { Queue, Worker, QueueEvents } = require(process.env.BULLMQ || "bullmq");

const [port, prefix, name, verb] = process.argv.slice(2);
const at = { connection: { port: Number(port), host: "127.0.0.1" }, prefix };
const queue = new Queue(name, at);

const verbs = {
  async add() {
    const opts = { attempts: 3, backoff: { type: "exponential", delay: 1000 }, priority: 4, jobId: "node-1" };
    await queue.add("welcome", { userId: 7, text: "wörld/" }, opts);
    await queue.add("later", [1, null], { delay: 60000, deduplication: { id: "d", ttl: 5000 } });
    return queue.getJobCounts();
  },
  // Each line of stdin is {prefix, queue, steps}; a step is {add: [name, data, opts]}, "pause", "resume", {retry: id} or
  // {remove: id}. Answers each line with the ids of its adds. One process for many tests.
  async follow() {
    for await (const line of require("readline").createInterface({ input: process.stdin })) {
      const { prefix, queue, steps } = JSON.parse(line);
      const other = new Queue(queue, { ...at, prefix });
      const told = [];
      for (const step of steps) {
        if (step === "pause") await other.pause();
        else if (step === "resume") await other.resume();
        else if (step.retry) await (await other.getJob(step.retry)).retry("failed");
        else if (step.remove) await other.remove(step.remove);
        else told.push((await other.add(...step.add)).id);
      }
      await other.close();
      console.log(JSON.stringify(told));
    }
  },
  async look() {
    const jobs = await queue.getJobs();
    const shown = jobs.map((job) => ({ ...job.toJSON(), queueQualifiedName: undefined }));
    const states = Object.fromEntries(await Promise.all(jobs.map(async (job) => [job.id, await job.getState()])));
    return { counts: await queue.getJobCounts(), paused: await queue.isPaused(), meta: await queue.getMeta(), jobs: shown, states };
  },
  // Runs every waiting job; job "bad" fails. Ends when `drained` comes. Also prints what QueueEvents saw.
  async work() {
    const seen = [];
    const events = new QueueEvents(name, { ...at, lastEventId: "0-0" });
    for (const event of ["added", "waiting", "delayed", "completed", "failed", "deduplicated", "duplicated", "paused", "resumed", "removed"])
      events.on(event, (args) => seen.push([event, args]));
    await events.waitUntilReady();
    const ran = [];
    const worker = new Worker(name, async (job) => {
      ran.push([job.name, job.data]);
      if (job.name === "bad") throw new Error("boom");
      return { got: job.data };
    }, { ...at, drainDelay: 1 });
    const failed = [];
    worker.on("error", (error) => failed.push(String(error)));
    await new Promise((resolve) => worker.once("drained", resolve));
    const last = ran.length;
    while (seen.filter(([event]) => event === "completed" || event === "failed").length < last)
      await new Promise((resolve) => setTimeout(resolve, 20));
    await worker.close();
    await events.close();
    return { ran, seen, failed };
  },
};

verbs[verb]().then(async (result) => {
  await queue.close();
  if (result !== undefined) console.log(JSON.stringify(result));
});
