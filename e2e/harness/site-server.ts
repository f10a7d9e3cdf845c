/**
 * The web server of sandboxes in tests, bundled to one file that runs in a guest: `node site.mjs NAME [PORT]`.
 * It says its name, takes uploads, sends events and echoes what comes by WebSocket.
 */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import { WebSocketServer } from "ws";

const [name = "site", port = "8080"] = process.argv.slice(2);

const PAGE = `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>${name}</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="/style.css">
<h1>${name}</h1><img src="/picture.svg" alt="a square"><p id="events"></p><p id="socket"></p>
<script type="module" src="/page.js"></script></html>`;
const STYLE = "h1 { color: rgb(1, 2, 3) }";
const PICTURE = '<svg xmlns="http://www.w3.org/2000/svg" width="7" height="7"><rect width="7" height="7"/></svg>';
const PROGRAM = `
const put = (id, text) => { document.getElementById(id).textContent += text + ";"; };
new EventSource("/events").onmessage = ({ data }) => put("events", data);
const socket = new WebSocket(location.origin.replace("http", "ws") + "/socket");
socket.onopen = () => socket.send("from a page");
socket.onmessage = ({ data }) => put("socket", data);`;

/** Those who listen to events. */
const listeners = new Set<ServerResponse>();

const text = (to: ServerResponse, type: string, body: string) =>
  void to.writeHead(200, { "content-type": type }).end(body);

const ANSWERS: Readonly<Record<string, (from: IncomingMessage, to: ServerResponse) => unknown>> = {
  "/": (_from, to) => text(to.setHeader("set-cookie", "visited=yes; Domain=localhost"), "text/html", PAGE),
  "/style.css": (_from, to) => text(to, "text/css", STYLE),
  "/picture.svg": (_from, to) => text(to, "image/svg+xml", PICTURE),
  "/page.js": (_from, to) => text(to, "text/javascript", PROGRAM),
  "/name": (_from, to) => text(to, "text/plain", name),
  "/headers": ({ headers }, to) => text(to, "application/json", JSON.stringify(headers)),
  "/echo": (from, to) => pipeline(from, to),
  async "/digest"(from, to) {
    const hash = createHash("sha256");
    await pipeline(from, hash);
    text(to, "text/plain", hash.digest("hex"));
  },
  "/events"(_from, to) {
    to.writeHead(200, { "content-type": "text/event-stream" }).write("data: hello\n\n");
    listeners.add(to);
    to.once("close", () => listeners.delete(to));
  },
  async "/tell"(from, to) {
    const told = (await from.toArray()).join("");
    for (const listener of listeners) listener.write(`data: ${told}\n\n`);
    text(to, "text/plain", `${listeners.size}`);
  },
  "/endless"(_from, to) {
    const piece = Buffer.alloc(64 * 1024);
    const more = () => {
      while (to.write(piece));
    };
    to.on("drain", more);
    more();
  },
};

const server = createServer(async (from, to) => {
  try {
    const answer = ANSWERS[(from.url ?? "").split("?", 1)[0] ?? ""];
    if (answer) await answer(from, to);
    else to.writeHead(404).end();
  } catch {
    to.destroy(); // its client has left
  }
});
new WebSocketServer({ server, path: "/socket" }).on("connection", (socket) => {
  socket.send(`socket of ${name}`);
  socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
});
server.listen(Number(port), "127.0.0.1");
