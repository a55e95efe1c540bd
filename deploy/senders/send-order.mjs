import { createClient } from "redis";
import { randomUUID } from "node:crypto";

const order = { account: "nebulox", order_id: "from-node-1", price: "19.99", currency: "EUR" };
const id = randomUUID();
const message = {
  headers: { task: "invoices.create", id },
  "content-type": "application/json",
  "content-encoding": "utf-8",
  body: Buffer.from(JSON.stringify([[], order, {}])).toString("base64"),
  properties: {
    body_encoding: "base64",
    delivery_tag: id,
    delivery_info: { exchange: "", routing_key: "invoices.intake" },
  },
};
const redis = createClient({ socket: { path: process.env.BROKER ?? "var/valkey/valkey.sock" } }); // or { url: "redis://…" }
await redis.connect();
await redis.lPush("invoices.intake", JSON.stringify(message));
await redis.close();
