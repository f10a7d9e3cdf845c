/**
 * What answers in the pretended internet: HTTP on every address (but for /never), a package mirror over HTTPS, DNS. Run in its namespace
 * with a folder that holds `key.pem`, `cert.pem` and `files/`, the address of the DNS server, and a JSON object of names
 * and addresses.
 */
import { createSocket } from "node:dgram";
import { readFileSync, statSync } from "node:fs";
import { createServer as createHttpServer, type RequestListener } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { join, normalize } from "node:path";

const [folder = "", dnsAddress = "", namesText = "{}"] = process.argv.slice(2);
const names = new Map<string, string>(Object.entries(JSON.parse(namesText) as Record<string, string>));

const answer: RequestListener = (request, reply) => {
  const path = normalize(new URL(request.url ?? "/", "http://any").pathname);
  if (path === "/never") return;
  try {
    const file = join(folder, "files", path);
    const content = readFileSync(statSync(file).isDirectory() ? join(file, "index.html") : file);
    const type = path.endsWith(".json")
      ? "application/json"
      : path.endsWith("/")
        ? "text/html"
        : "application/octet-stream";
    reply.writeHead(200, { "content-type": type, "content-length": content.length }).end(content);
  } catch {
    reply.writeHead(200, { "content-type": "text/plain" }).end(`reached ${request.socket.localAddress}\n`);
  }
};

function dnsReply(query: Buffer): Buffer {
  const labels: string[] = [];
  let offset = 12;
  for (let length = query.readUInt8(offset); length > 0; length = query.readUInt8(offset)) {
    labels.push(query.toString("latin1", offset + 1, offset + 1 + length));
    offset += length + 1;
  }
  const question = query.subarray(12, offset + 5);
  const address = names.get(labels.join(".").toLowerCase());
  const wantsA = query.readUInt16BE(offset + 1) === 1;
  const header = Buffer.alloc(12);
  query.copy(header, 0, 0, 2);
  header.writeUInt16BE(address ? 0x8180 : 0x8183, 2);
  header.writeUInt16BE(1, 4);
  if (!address || !wantsA) return Buffer.concat([header, question]);
  header.writeUInt16BE(1, 6);
  const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...address.split(".").map(Number)]);
  return Buffer.concat([header, question, record]);
}

createHttpServer(answer).listen(80, "0.0.0.0");
createHttpsServer(
  { key: readFileSync(join(folder, "key.pem")), cert: readFileSync(join(folder, "cert.pem")) },
  answer,
).listen(443);
const dns = createSocket("udp4");
dns.on("message", (query, peer) => dns.send(dnsReply(query), peer.port, peer.address));
dns.bind(53, dnsAddress, () => process.stdout.write("ready\n"));
