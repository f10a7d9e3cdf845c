/**
 * A pretended internet in a network namespace, behind the default route of the namespace the tests run in. It answers at
 * public addresses, and also at private, link-local and metadata ones: what a guest must not reach would answer.
 */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { waitFor } from "@mags/test-kit";
import { run, start } from "./run.ts";

export const INTERNET = {
  /** The tests' own end of the link. */
  hostAddress: "11.0.0.1",
  publicAddress: "93.184.216.34",
  /** Of other.test. */
  otherAddress: "93.184.216.35",
  /** Of a.wild.test. */
  wildAddress: "93.184.216.36",
  dnsAddress: "93.184.216.53",
  /** Of a package mirror in a private network. */
  mirrorAddress: "10.99.0.1",
  forbidden: ["10.1.2.3", "172.16.5.5", "192.168.1.1", "100.64.0.9", "169.254.169.254", "198.18.0.1", "203.0.113.7"],
  names: {
    "public.test": "93.184.216.34",
    "other.test": "93.184.216.35",
    "a.wild.test": "93.184.216.36",
    "mirror.test": "10.99.0.1",
    "rebound.test": "10.1.2.3",
  },
} as const;

export interface Internet extends AsyncDisposable {
  /** Folder whose content is served at every address. */
  readonly files: string;
  /** Certificate of the authority that signed the servers' certificate. */
  readonly authority: string;
}

const NAMESPACE = "internet";

async function must(file: string, args: readonly string[]): Promise<void> {
  const { exitCode, errors } = await run(file, args);
  assert.equal(exitCode, 0, `${file} ${args.join(" ")}: ${errors}`);
}

async function makeCertificates(folder: string): Promise<void> {
  const at = (name: string) => join(folder, name);
  const openssl = (...args: string[]) => must("openssl", args);
  await openssl(
    "req",
    "-x509",
    "-newkey",
    "rsa:2048",
    "-nodes",
    "-days",
    "2",
    "-subj",
    "/CN=Test Authority",
    "-keyout",
    at("ca-key.pem"),
    "-out",
    at("ca.pem"),
  );
  await openssl(
    "req",
    "-newkey",
    "rsa:2048",
    "-nodes",
    "-subj",
    "/CN=mirror.test",
    "-keyout",
    at("key.pem"),
    "-out",
    at("request.pem"),
  );
  await writeFile(at("extensions"), "subjectAltName=DNS:mirror.test\n");
  await openssl(
    "x509",
    "-req",
    "-days",
    "2",
    "-in",
    at("request.pem"),
    "-CA",
    at("ca.pem"),
    "-CAkey",
    at("ca-key.pem"),
    "-CAcreateserial",
    "-extfile",
    at("extensions"),
    "-out",
    at("cert.pem"),
  );
}

export async function startInternet(): Promise<Internet> {
  await using scope = new AsyncDisposableStack();
  const folder = await mkdtemp("/tmp/mags-internet-");
  scope.defer(() => rm(folder, { recursive: true, force: true }));
  const files = join(folder, "files");
  await mkdir(files);
  await makeCertificates(folder);

  const { hostAddress, publicAddress, otherAddress, wildAddress, dnsAddress, mirrorAddress, forbidden, names } =
    INTERNET;
  await must("ip", ["netns", "add", NAMESPACE]);
  scope.defer(() => must("ip", ["netns", "del", NAMESPACE]));
  await must("ip", ["link", "add", "inet0", "type", "veth", "peer", "name", "up0", "netns", NAMESPACE]);
  await must("ip", ["addr", "add", `${hostAddress}/24`, "dev", "inet0"]);
  await must("ip", ["link", "set", "inet0", "up"]);
  await must("ip", ["route", "add", "default", "via", "11.0.0.2"]);
  const inside = (...args: string[]) => must("ip", ["-n", NAMESPACE, ...args]);
  await inside("link", "set", "lo", "up");
  await inside("addr", "add", "11.0.0.2/24", "dev", "up0");
  await inside("link", "set", "up0", "up");
  for (const address of [publicAddress, otherAddress, wildAddress, dnsAddress, mirrorAddress, ...forbidden])
    await inside("addr", "add", `${address}/32`, "dev", "lo");

  const script = join(import.meta.dirname, "internet-server.ts");
  const args = ["netns", "exec", NAMESPACE, process.execPath, script, folder, dnsAddress, JSON.stringify(names)];
  const server = start("ip", args, { timeoutMs: 30 * 60_000 });
  scope.defer(async () => {
    server.child.kill("SIGKILL");
    await server.result;
  });
  await waitFor(() => server.soFar().includes("ready"), { what: "the pretended internet" });
  const owned = scope.move();
  return { files, authority: join(folder, "ca.pem"), [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
