// BullMQ does the steps of scenarios: each line of stdin is {prefix, steps}, answered with a line when they are done.
// The steps and what a job does by its name are in scenarios.py; one job runs at a time, over the queues in turn.
// With `keep` the prefix's queues and workers stay for the next line; the steps of with_workers are told there.
const { Queue, Worker, FlowProducer, UnrecoverableError, WaitingChildrenError } = require(process.env.BULLMQ || "bullmq");

const { Redis } = require("ioredis");
const { program } = require("./program.cjs");

const connection = { url: process.argv[2] };
const sleep = (ms) => new Promise((next) => setTimeout(next, ms));

class Side {
  constructor(prefix) {
    this.at = { connection, prefix };
    this.flows = new FlowProducer(this.at);
    this.queues = {};
    this.workers = {};
    this.running = {};
  }

  queue(name) {
    return (this.queues[name] ??= new Queue(name, this.at));
  }

  worker(name) {
    return (this.workers[name] ??= new Worker(name, null, { ...this.at, autorun: false }));
  }

  async step([verb, ...args]) {
    if (verb === "flow") {
      // Refusals of the root are told by an exception here, by a code there.
      await this.flows.add(this.prefixed(args[0])).catch(() => {});
    } else if (verb === "add") {
      const [queue, name, data, opts] = args;
      await this.queue(queue).add(name, data, this.withParent(opts)).catch(() => {});
    } else if (verb === "retry") await (await this.queue(args[0]).getJob(args[1])).retry(args[2] ?? "failed");
    else if (verb === "retry_if") await (await this.queue(args[0]).getJob(args[1]))?.retry(args[2]).catch(() => {});
    else if (verb === "remove") await this.queue(args[0]).remove(args[1], { removeChildren: args[2] ?? true });
    else if (verb === "pause") await this.queue(args[0]).pause();
    else if (verb === "resume") await this.queue(args[0]).resume();
    else if (verb === "empty") await this.queue(args[0]).drain(args[1] ?? false);
    else if (verb === "delay") await (await this.queue(args[0]).getJob(args[1]))?.changeDelay(args[2]).catch(() => {});
    else if (verb === "priority") await (await this.queue(args[0]).getJob(args[1]))?.changePriority(args[2]);
    else if (verb === "data") await (await this.queue(args[0]).getJob(args[1]))?.updateData(args[2]);
    else if (verb === "promote") await (await this.queue(args[0]).getJob(args[1]))?.promote().catch(() => {});
    else if (verb === "orphans") await this.queue(args[0]).removeOrphanedJobs();
    else if (verb === "clean") await this.queue(args[0]).clean(args[2], args[3], args[1]);
    else if (verb === "obliterate") await this.queue(args[0]).obliterate({ force: args[1] ?? false });
    else if (verb === "run") await this.run(args);
    else if (verb === "run now") await this.run(args, false);
    else if (verb === "runs") await this.runs(...args);
    else if (verb === "schedule") await this.queue(args[0]).upsertJobScheduler(args[1], this.when(args[2]), args[3]).catch(() => {});
    else if (verb === "unschedule") await this.queue(args[0]).removeJobScheduler(args[1]);
    else if (verb === "remove current") await this.queue(args[0]).remove(await this.current(...args)).catch(() => {});
    else if (verb === "bulk") await this.queue(args[0]).addBulk(args[1]);
    else if (verb === "retry all") await this.queue(args[0]).retryJobs(args[1]);
    else if (verb === "promote all") await this.queue(args[0]).promoteJobs();
    else if (verb === "global concurrency") await this.queue(args[0]).setGlobalConcurrency(args[1]);
    else if (verb === "global limit") await this.queue(args[0]).setGlobalRateLimit(args[1], args[2]);
    else if (verb === "limit") await this.queue(args[0]).rateLimit(args[1]);
    else if (verb === "limit away") await this.queue(args[0]).removeRateLimitKey();
    else if (verb === "no limit") {
      await this.queue(args[0]).removeRateLimitKey();
      await this.queue(args[0]).removeGlobalRateLimit();
    }
    else if (verb === "log") await (await this.queue(args[0]).getJob(args[1])).log(args[2]);
    else if (verb === "deduplication away") await this.queue(args[0]).removeDeduplicationKey(args[1]);
    else if (verb === "children away") await (await this.queue(args[0]).getJob(args[1])).removeUnprocessedChildren();
    else if (verb === "leave parent") await (await this.queue(args[0]).getJob(args[1])).removeChildDependency();
    else if (verb === "lose") await this.lose(args[0]);
    else if (verb === "half gone") await redis.del(`${this.at.prefix}:${args[0]}:${args[1]}`);
    else if (verb === "nowhere") await redis.lrem(`${this.at.prefix}:${args[0]}:wait`, 0, args[1]);
    else if (verb === "stalled") await this.stalled(...args);
    else if (verb === "work") await this.work(...args);
    else if (verb === "stop") await this.stop(args[0]);
    else throw new Error(`unknown step ${verb}`);
  }

  withParent(opts = {}) {
    const parent = opts.parent;
    return parent ? { ...opts, parent: { id: parent.id, queue: `${this.at.prefix}:${parent.queue}` } } : opts;
  }

  prefixed(node) {
    const children = node.children?.map((child) => this.prefixed(child));
    return { ...node, opts: this.withParent(node.opts), ...(children ? { children } : {}) };
  }

  when({ startIn, endIn, ...repeat }) {
    if (startIn) repeat.startDate = Date.now() + startIn;
    if (endIn) repeat.endDate = Date.now() + endIn;
    return repeat;
  }

  async current(queue, scheduler) {
    const { next } = await this.queue(queue).getJobScheduler(scheduler);
    return `repeat:${scheduler}:${next}`;
  }

  // A real worker, with what it needs to meet a program's steps.
  async work(name, settings = {}) {
    const run = (job, token) => program(this, redis, job, token);
    const worker = new Worker(name, run, { ...this.at, name: "worker", drainDelay: 1, skipStalledCheck: true, ...settings });
    worker.on("error", (error) => console.error(error));
    await worker.waitUntilReady();
    this.running[name] = worker;
  }

  // As if the worker of the next job had died.
  async lose(name) {
    this.worker(name).limitUntil = 0;
    const job = await this.worker(name).getNextJob("token", { block: false });
    if (job) await redis.del(`${this.at.prefix}:${name}:${job.id}:lock`);
  }

  async stalled(name, most) {
    const worker = new Worker(name, null, { ...this.at, autorun: false, maxStalledCount: most });
    await redis.del(`${this.at.prefix}:${name}:stalled-check`);
    await worker.moveStalledJobsToWait();
    await worker.close();
  }

  async stop(name) {
    await this.running[name].close();
    delete this.running[name];
  }

  async runs(name, count) {
    for (let ran = 0; ran < count; ) {
      const job = await this.worker(name).getNextJob("token", { block: false });
      if (job) {
        await this.process(name, job);
        ran += 1;
      } else await sleep(2);
    }
  }

  async run(names, waits = true) {
    // A worker that has met a limit asks no more until that would be over, even when it was taken away.
    for (const name of names) this.worker(name).limitUntil = 0;
    for (;;) {
      let ran = false;
      for (const name of names) {
        const job = await this.worker(name).getNextJob("token", { block: false });
        if (!job) continue;
        ran = true;
        await this.process(name, job);
      }
      if (ran) continue;
      if (!waits) return;
      const delayed = await Promise.all(names.map((name) => this.queue(name).getDelayedCount()));
      if (!delayed.some((count) => count > 0)) return;
      await sleep(5);
    }
  }

  async process(name, job) {
    let failure = job.deferredFailure ? new UnrecoverableError(job.deferredFailure) : null;
    try {
      if (!failure) {
        const result = await this.handle(name, job);
        await job.moveToCompleted(result, "token", false);
      }
    } catch (error) {
      if (error instanceof WaitingChildrenError) return;
      failure = error;
    }
    if (failure) await job.moveToFailed(failure, "token", false);
  }

  async handle(name, job) {
    const first = job.attemptsStarted === 1;
    if (job.name === "fail" || (job.name === "flaky" && job.attemptsMade === 0)) throw new Error("boom");
    if (job.name === "fatal") throw new UnrecoverableError("fatal");
    if (job.name === "adds" && first) {
      for (const step of job.data.steps ?? []) await this.step(step);
      if (job.data.fails) throw new Error("boom");
    }
    if (job.name === "waits" && first) {
      for (const step of job.data.steps ?? []) await this.step(step);
      if (await job.moveToWaitingChildren("token")) throw new WaitingChildrenError();
    }
    if (job.name === "reads") return [await job.getChildrenValues(), await job.getIgnoredChildrenFailures()].map(
      (found) => Object.keys(found).length);
    return job.name === "nothing" ? undefined : { ok: job.name };
  }

  async close() {
    const all = [...Object.values(this.queues), ...Object.values(this.workers), ...Object.values(this.running), this.flows];
    await Promise.all(all.map((each) => each.close()));
  }
}

const redis = new Redis(process.argv[2]);
const kept = {};

async function main() {
  for await (const line of require("readline").createInterface({ input: process.stdin })) {
    const { prefix, steps, keep } = JSON.parse(line);
    const side = (kept[prefix] ??= new Side(prefix));
    let error = null;
    try {
      for (const step of steps) await side.step(step);
    } catch (failed) {
      error = String(failed.stack);
    }
    if (!keep) {
      await side.close();
      delete kept[prefix];
    }
    console.log(JSON.stringify({ error }));
  }
  await Promise.all(Object.values(kept).map((side) => side.close()));
  redis.disconnect();
}

main().catch((error) => { console.error(error); process.exit(1); });
