// A Node service that traces by bullmq-otel: node traced.cjs PORT PREFIX. Adds to "mail" inside a span "request", runs
// "back" until as many jobs as its first line of stdin says are done, and prints its spans as JSON.
const { Queue, Worker } = require("bullmq");
const { BullMQOtel } = require("bullmq-otel");
const { SpanKind, context, propagation, trace } = require("@opentelemetry/api");
const { AsyncLocalStorageContextManager } = require("@opentelemetry/context-async-hooks");
const { W3CTraceContextPropagator } = require("@opentelemetry/core");
const { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } = require("@opentelemetry/sdk-trace-base");

const [port, prefix] = process.argv.slice(2);
const exporter = new InMemorySpanExporter();
trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }));
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
propagation.setGlobalPropagator(new W3CTraceContextPropagator());

const at = { connection: { port: Number(port), host: "127.0.0.1" }, prefix, telemetry: new BullMQOtel("shop", "1") };
const mail = new Queue("mail", at);

async function add() {
  await trace.getTracer("shop").startActiveSpan("request", async (span) => {
    await mail.add("answered", { n: 1 });
    await mail.addBulk([{ name: "plain", data: {} }, { name: "async", data: {} }]);
    await mail.add("flaky", {}, { attempts: 2 });
    await mail.add("apart", {}, { telemetry: { omitContext: true } });
    span.end();
  });
}

async function work(wanted) {
  let done = 0;
  const worker = new Worker("back", async () => "thanks", { ...at, drainDelay: 1 });
  await new Promise((resolve) => worker.on("completed", () => { if (++done >= wanted) resolve(); }));
  await worker.close();
}

(async () => {
  await add();
  const [wanted] = (await require("readline").createInterface({ input: process.stdin })[Symbol.asyncIterator]().next()).value.split(" ");
  await work(Number(wanted));
  await mail.close();
  const spans = exporter.getFinishedSpans().filter((span) => span.kind === SpanKind.PRODUCER || span.kind === SpanKind.CONSUMER || span.name === "request");
  console.log(JSON.stringify(spans.map((span) => ({
    name: span.name, kind: SpanKind[span.kind], trace: span.spanContext().traceId, id: span.spanContext().spanId,
    parent: span.parentSpanContext ? span.parentSpanContext.spanId : null, job: span.attributes["bullmq.job.name"] ?? null,
  }))));
  process.exit(0);
})();
