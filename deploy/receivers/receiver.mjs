// Receives invoice events behind your TLS proxy. Needs the package standardwebhooks and WEBHOOK_SECRET=whsec_…
import { createServer } from "node:http";
import { Webhook } from "standardwebhooks";

const webhook = new Webhook(process.env.WEBHOOK_SECRET);
const handled = new Map(); // last sequence by invoice; keep it in your database, in one transaction with what handle() does

// Store what the event says and return at once; do slow work later. What throws here is sent again.
function handle(event) {
  console.log(event.type, event.subject, event.data.order_id);
}

async function receive(request) {
  let event;
  try {
    if (!(request.headers["content-length"] <= 65_536)) return 413;
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks); // the raw bytes: they are what is signed
    event = webhook.verify(body, request.headers); // signature, and at most 5 minutes old or ahead
  } catch {
    return 400; // whatever was thrown: headers or body may be garbage
  }
  // Without a sequence (system.restored, invoices.test) an event is known by its id
  const [key, number] = "sequence" in event ? [event.subject, Number(event.sequence)] : [event.id, 1];
  if (number > (handled.get(key) ?? 0)) {
    handle(event); // otherwise it is a repeat, handled already
    handled.set(key, number);
  }
  return 200;
}

const server = createServer(async (request, response) => {
  const status = await receive(request).catch((error) => (console.error(error), 500));
  response.writeHead(status, { "content-length": 0, ...(status === 200 ? {} : { connection: "close" }) }).end();
});
server.listen(Number(process.env.PORT ?? 8080), "127.0.0.1", () =>
  console.log(`receiving on http://127.0.0.1:${server.address().port}/`),
);
