// What a job of the scenarios in with_workers does: `runs` of its data, the nth row of steps at its nth start (the last
// row from then on). The same in Python: tests/fixtures/handlers/program.py. The steps are told in with_workers/__init__.py.
const { DelayedError, RateLimitError, UnrecoverableError, WaitingChildrenError, WaitingError } = require(process.env.BULLMQ || "bullmq");

const sleep = (ms) => new Promise((next) => setTimeout(next, ms));

const acts = {
  async progress({ job }, value) { await job.updateProgress(value); },
  async log({ job }, line) { await job.log(line); },
  async data({ job }, data) { await job.updateData(data); },
  async add({ side }, queue, name, data, opts) { await side.queue(queue).add(name, data, side.withParent(opts)); },
  async return({ turn }, value) { turn.result = value; },
  async big({ turn }, length) { turn.result = "é".repeat(length); },
  async throw(_, message) { throw new Error(message); },
  async fatal(_, message) { throw new UnrecoverableError(message); },
  async later({ job, token }, ms) {
    await job.moveToDelayed(Date.now() + ms, token);
    throw new DelayedError();
  },
  async again({ job, token }) {
    await job.moveToWait(token);
    throw new WaitingError();
  },
  async limited({ side, job }, ms) {
    await side.queue(job.queueName).rateLimit(ms);
    throw new RateLimitError();
  },
  async children({ job, turn }) {
    const parts = [await job.getChildrenValues(), await job.getIgnoredChildrenFailures()];
    turn.result = parts.map((part) => Object.values(part).map((each) => JSON.stringify(each)).sort());
  },
  async wait({ job, token }) {
    if (await job.moveToWaitingChildren(token)) throw new WaitingChildrenError();
  },
  async note({ side, redis }, name) { await redis.set(`notes:${side.at.prefix}:${name}`, 1); },
  async gate({ side, redis }, name) {
    while (!(await redis.exists(`gates:${side.at.prefix}:${name}`))) await sleep(2);
  },
};

async function program(side, redis, job, token) {
  if (!job.data?.runs) return job.data ?? undefined;
  const turn = { result: undefined };
  const rows = job.data.runs;
  const started = await redis.incr(`notes:${side.at.prefix}:${job.queueName}:${job.id}`);
  for (const [act, ...args] of rows[Math.min(started, rows.length) - 1]) {
    await acts[act]({ side, redis, job, token, turn }, ...args);
  }
  return turn.result;
}

module.exports = { program };
