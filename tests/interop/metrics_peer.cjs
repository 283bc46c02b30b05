// BullMQ's metrics: each line of stdin is {do, queue, ...}, answered with one line of JSON. argv: port, prefix, minutes.
const { Queue, Worker } = require(process.env.BULLMQ || "bullmq");

const [port, prefix, most] = process.argv.slice(2);
const at = { connection: { host: "127.0.0.1", port: Number(port) }, prefix };
const counting = { ...at, metrics: { maxDataPoints: Number(most) } };
const queues = {};
const queue = (name) => (queues[name] ??= new Queue(name, at));
const workers = {};
const now = Date.now;

const verbs = {
  // Ends one job as a worker would at that moment, in milliseconds.
  async end({ queue: name, state, moment }) {
    const worker = (workers[name] ??= new Worker(name, null, { ...counting, autorun: false }));
    const { id } = await queue(name).add("job", {});
    const job = await worker.getNextJob("token");
    if (job.id !== id) throw new Error("another job");
    Date.now = () => moment;
    try {
      if (state === "completed") await job.moveToCompleted(1, "token", false);
      else await job.moveToFailed(new Error("boom"), "token", false);
    } finally {
      Date.now = now;
    }
    return true;
  },
  async start({ queue: name }) {
    workers[name] = new Worker(name, async (job) => { if (job.name === "fail") throw new Error("boom"); }, counting);
    workers[name].on("error", () => {});
    return true;
  },
  async obliterate({ queue: name }) {
    await queue(name).obliterate();
    return true;
  },
  async metrics({ queue: name, state }) {
    const { meta, data, count } = await queue(name).getMetrics(state);
    return { meta, data: data.map(Number), count };
  },
};

async function main() {
  for await (const line of require("readline").createInterface({ input: process.stdin })) {
    const request = JSON.parse(line);
    const answer = await verbs[request.do](request).catch((error) => ({ error: String(error.stack) }));
    console.log(JSON.stringify(answer));
  }
  process.exit(0);
}

main();
