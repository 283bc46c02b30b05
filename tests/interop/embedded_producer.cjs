// A producer that knows no more than the file beside the control socket: adds one job and prints its result.
// argv: that file, prefix.
const { readFileSync } = require("fs");
const { Queue, QueueEvents } = require(process.env.BULLMQ || "bullmq");

async function main() {
  const [file, prefix] = process.argv.slice(2);
  const at = { connection: { url: JSON.parse(readFileSync(file)).tcp_url }, prefix };
  const queue = new Queue("work", at);
  const events = new QueueEvents("work", at);
  await events.waitUntilReady();
  const job = await queue.add("welcome", { userId: 7 });
  console.log(JSON.stringify(await job.waitUntilFinished(events, 20_000)));
  await Promise.all([queue.close(), events.close()]);
}

main();
