/** A certificate authority of this machine that speaks ACME: Pebble, of the packages that tests use. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { Agent, get } from "node:https";
import { createServer } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { makeTempDir } from "./temp-dir.ts";
import { waitFor } from "./wait-for.ts";

export interface Pebble extends AsyncDisposable {
  readonly directoryUrl: string;
  /** Whoever asks it trusts that. PEM; and the file that holds it. */
  readonly ca: string;
  readonly caFile: string;
  /** Whoever uses what it gave trusts that. PEM. */
  issuer(): Promise<string>;
}

const run = promisify(execFile);

/** @param at  `httpPort`: where it checks hosts, which it looks up at that DNS server. */
export async function startPebble(at: { readonly httpPort: number; readonly dnsPort: number }): Promise<Pebble> {
  await using scope = new AsyncDisposableStack();
  const { path: folder } = scope.use(await makeTempDir());
  const [certificate, privateKey, config] = ["cert.pem", "key.pem", "pebble.json"].map((name) =>
    join(folder, name),
  ) as [string, string, string];
  const names = ["-subj", "/CN=pebble", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"];
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  await run("openssl", ["req", "-x509", ...kind, ...names, "-keyout", privateKey, "-out", certificate]);
  const [port, managementPort] = [await freePort(), await freePort()];
  const pebble = {
    ...{ listenAddress: `127.0.0.1:${port}`, managementListenAddress: `127.0.0.1:${managementPort}` },
    ...{ certificate, privateKey, httpPort: at.httpPort, tlsPort: 1, ocspResponderURL: "" },
  };
  await writeFile(config, JSON.stringify({ pebble }));
  const child = spawn("pebble", ["-config", config, "-dnsserver", `127.0.0.1:${at.dnsPort}`], {
    stdio: "ignore",
    // Else it waits for up to 15 s before it looks, and refuses some requests by chance.
    env: { ...process.env, PEBBLE_VA_NOSLEEP: "1", PEBBLE_WFE_NONCEREJECT: "0" },
  });
  const ended = once(child, "exit");
  scope.defer(async () => {
    child.kill("SIGKILL");
    await ended;
  });
  const ca = await readFile(certificate, "utf8");
  const directoryUrl = `https://127.0.0.1:${port}/dir`;
  await waitFor(() => body(directoryUrl, ca).catch(() => false), { what: "pebble to listen" });
  const owned = scope.move();
  const issuer = () => body(`https://127.0.0.1:${managementPort}/roots/0`, ca);
  return { directoryUrl, ca, caFile: certificate, issuer, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function body(url: string, ca: string): Promise<string> {
  const [reply] = await once(get(url, { agent: new Agent({ ca }) }), "response");
  const text = Buffer.concat(await reply.toArray()).toString();
  if (reply.statusCode !== 200) throw new Error(`${url}: ${reply.statusCode} ${text}`);
  return text;
}

/** That nobody listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}
