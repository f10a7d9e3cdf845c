/** The reference of URLs on Node: httpxy, once before each of the ports that it is given. */
import { once } from "node:events";
import { Agent, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createProxyServer } from "httpxy";

const ports: number[] = [];
for (const target of process.argv.slice(2)) {
  const agent = new Agent({ keepAlive: true });
  const proxy = createProxyServer({ target: `http://127.0.0.1:${target}`, ws: true, xfwd: true, agent });
  const server = createServer((request, reply) => {
    proxy.web(request, reply).catch(() => reply.destroy());
  });
  server.on("upgrade", (request, socket, head) => {
    // An upgrade cannot go over a connection that is kept.
    proxy.ws(request, socket as never, { agent: false }, head).catch(() => socket.destroy());
  });
  await once(server.listen(0, "127.0.0.1", 4_096), "listening");
  ports.push((server.address() as AddressInfo).port);
}
process.stdout.write(`${ports.join(" ")}\n`);
