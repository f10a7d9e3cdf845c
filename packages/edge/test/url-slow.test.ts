import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { connect as connectTls } from "node:tls";
import { promisify } from "node:util";
import { makeTempDir } from "@mags/test-kit";
import { WebSocket, WebSocketServer } from "ws";
import { type CertificateFiles, createCertificates } from "../src/url/certificates.ts";
import { listening, startUrlFront, type UrlFront } from "./url-front.ts";

for (const isTls of [false, true])
  describe(`clients of URLs that are slow, or stay, ${isTls ? "over TLS" : "without TLS"}`, () => {
    let files: CertificateFiles;
    let guest: Server;
    const sockets = new Set<Socket>();
    before(async () => {
      await using temp = await makeTempDir();
      const [certificate, key] = [join(temp.path, "pem"), join(temp.path, "key")];
      const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
      const args = ["req", "-x509", ...curve, "-subj", "/CN=box.example", "-keyout", key, "-out", certificate];
      await promisify(execFile)("openssl", args);
      files = { certificate: await readFile(certificate, "utf8"), key: await readFile(key, "utf8") };
      guest = createServer((_from, to) => to.end("answered"));
      new WebSocketServer({ server: guest });
      await listening(guest);
    });
    after(() => {
      for (const socket of sockets) socket.destroy();
      guest.closeAllConnections();
      guest.close();
    });

    const start = (): Promise<UrlFront> =>
      startUrlFront((guest.address() as { port: number }).port, {
        certificates: isTls ? createCertificates([files]) : null,
        limits: { headMs: 500 },
      });
    const kept = <T extends Socket>(socket: T): T => {
      sockets.add(socket.on("error", () => {}));
      return socket;
    };
    async function dial(port: number): Promise<Socket> {
      const at = { host: "127.0.0.1", port };
      const socket = kept(isTls ? connectTls({ ...at, rejectUnauthorized: false }) : connect(at));
      await once(socket, isTls ? "secureConnect" : "connect");
      return socket.resume();
    }

    it("are given up when the head of a request does not come, or not TLS", async () => {
      await using front = await start();
      const dripping = await dial(front.port);
      dripping.write("GET / HTTP/1.1\r\nHost: box.example\r\n");
      const drip = setInterval(() => dripping.write("X-Drip: 1\r\n"), 100);
      const silent = kept(connect(front.port, "127.0.0.1")).resume();
      await Promise.all([dripping, silent].map((socket) => new Promise((resolve) => socket.once("close", resolve))));
      clearInterval(drip);
    });

    it("do not hold up its end", { timeout: 30_000 }, async () => {
      const front = await start();
      const [idle, waiting] = [await dial(front.port), await dial(front.port)];
      idle.write("GET / HTTP/1.1\r\nHost: box.example\r\n\r\n");
      await once(idle, "data");
      waiting.write("GET / HTTP/1.1\r\n");
      const scheme = isTls ? "wss" : "ws";
      const webSocket = new WebSocket(`${scheme}://127.0.0.1:${front.port}/`, {
        rejectUnauthorized: false,
        headers: { host: "box.example" },
      });
      await once(webSocket, "open");
      if (isTls) {
        const session = connectHttp2(`https://127.0.0.1:${front.port}`, { rejectUnauthorized: false });
        session.on("error", () => {});
        await once(session, "connect");
      }
      const all = [idle, waiting, webSocket].map((one) => new Promise((resolve) => one.once("close", resolve)));
      await front[Symbol.asyncDispose]();
      await Promise.all(all);
      assert.ok(idle.destroyed);
    });
  });
