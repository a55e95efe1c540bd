// Receives invoice events behind your TLS proxy. Needs the package standardwebhooks and WEBHOOK_SECRET=whsec_…
import { createServer } from "node:http";
import { Webhook } from "standardwebhooks";

const webhook = new Webhook(process.env.WEBHOOK_SECRET);
const lastSequence = new Map(); // by invoice; keep it in your database, written in one transaction with what handle() does

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
    return 400; // whatever it throws: headers or body may be garbage
  }
  const sequence = Number(event.sequence ?? 0); // the test event has none: there is nothing to handle
  if (sequence > (lastSequence.get(event.subject) ?? 0)) {
    handle(event); // else it is a repeat, and handled already
    lastSequence.set(event.subject, sequence);
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
