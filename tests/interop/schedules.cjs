// BullMQ beside jobd on schedules. argv: redis url, prefix, queue. Each line of stdin is a command, answered by one line.
const { Queue, Worker } = require("bullmq");
const { CronExpressionParser } = require("cron-parser");

const [url, prefix, name] = process.argv.slice(2);
const at = { connection: { url }, prefix };
const queue = new Queue(name, at);
const ran = [];
let worker = null;

const verbs = {
  async cron(rows) {
    return rows.map(([pattern, tz, moments]) => moments.map((ms) => {
      try {
        return CronExpressionParser.parse(pattern, { currentDate: new Date(ms), tz }).next().getTime();
      } catch { return null; }
    }));
  },
  async upsert([id, repeat, template]) {
    const job = await queue.upsertJobScheduler(id, repeat, template);
    return job ? job.id : null;
  },
  async list() { return queue.getJobSchedulers(0, -1, true); },
  async get(id) { return (await queue.getJobScheduler(id)) ?? null; },
  async remove(id) { return queue.removeJobScheduler(id); },
  async orphans() { return queue.removeOrphanedJobs(); },
  async work() {
    worker = new Worker(name, async (job) => { ran.push(job.id); }, { ...at, drainDelay: 1 });
    worker.on("error", (error) => console.error(error));
    await worker.waitUntilReady();
    return true;
  },
  async ran() { return ran; },
  async rest() { await worker.close(); return ran; },
};

async function main() {
  for await (const line of require("readline").createInterface({ input: process.stdin })) {
    const { verb, args } = JSON.parse(line);
    try {
      console.log(JSON.stringify({ answer: await verbs[verb](args) }));
    } catch (error) {
      console.log(JSON.stringify({ error: String(error.stack) }));
    }
  }
  await queue.close();
}

main().catch((error) => { console.error(error); process.exit(1); });
