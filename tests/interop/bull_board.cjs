// bull-board on a port of its own: node bull_board.cjs PORT PREFIX QUEUE... Prints its port; ends with its stdin.
const { createBullBoard } = require("@bull-board/api");
const { BullMQAdapter } = require("@bull-board/api/bullMQAdapter");
const { ExpressAdapter } = require("@bull-board/express");
const { Queue } = require("bullmq");
const express = require("express");

const [port, prefix, ...names] = process.argv.slice(2);
const queues = names.map((name) => new Queue(name, { connection: { host: "127.0.0.1", port: Number(port) }, prefix }));
const serverAdapter = new ExpressAdapter();
createBullBoard({ queues: queues.map((queue) => new BullMQAdapter(queue)), serverAdapter, options: { uiConfig: { showMetrics: true } } });
const server = express().use("/", serverAdapter.getRouter()).listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.resume().on("end", () => process.exit(0));
