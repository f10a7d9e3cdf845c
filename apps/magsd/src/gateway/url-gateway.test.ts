/** URLs by the gateway of a server, in its process, with the certificates that the configuration names. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { copyFile, readFile, writeFile } from "node:fs/promises";
import { createServer, request, type Server } from "node:http";
import { type AddressInfo, createServer as createTcp } from "node:net";
import { join, resolve } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, describe, it } from "node:test";
import { connect as connectTls } from "node:tls";
import { promisify } from "node:util";
import { AppError, type LogFields, type Logger, Secret } from "@mags/core";
import { type AccountId, newJobId, type UrlAccess, type UrlRegister } from "@mags/domain";
import { createSimulatedExecs, createSimulatedSockets, makeTempDir, type TempDir, waitFor } from "@mags/test-kit";
import { UrlConfig } from "../url-config.ts";
import { type CertifiedGateway, openCertified } from "./certified-gateway.ts";
import { startGatewayProcess } from "./gateway-process.ts";

const run = promisify(execFile);
const PROGRAM = resolve(import.meta.dirname, "gateway-program.ts");
const UID = 1_910_000_001;

describe("the gateway of a server, for URLs", () => {
  let temp: TempDir;
  let guest: Server;
  let directory: UrlRegister;
  const notes: UrlAccess[] = [];
  const told: { readonly event: string; readonly fields: LogFields }[] = [];
  const tell = (event: string, fields: LogFields = {}) => void told.push({ event, fields });
  const log: Logger = { debug: tell, info: tell, warn: tell, error: tell, child: () => log };

  before(async () => {
    temp = await makeTempDir();
    guest = createServer((from, to) => to.end(`${from.headers["x-forwarded-proto"]} ${from.url}`));
    await once(guest.listen(0, "127.0.0.1"), "listening");
    const { port } = guest.address() as AddressInfo;
    const made = await makeCertificate("made.example");
    directory = {
      note: (access) => void notes.push(access),
      async route({ host }) {
        if (!/^(box|made)\./.test(host)) throw new AppError("url_not_found", `nothing is called ${host}`);
        return {
          accountId: crypto.randomUUID() as AccountId,
          guest: newJobId(),
          port,
          isPrivate: false,
          awakeMs: null,
        };
      },
      certificate: async (host) => (host === "made.example" ? made : null),
      areOf: async (hosts) => hosts.map(() => false),
      challenge: async ({ host, token }) => (host === "made.example" ? `${token}.print` : null),
    };
  });
  after(async () => {
    guest.close();
    guest.closeAllConnections();
    await temp[Symbol.asyncDispose]();
  });

  const fileOf = (name: string, kind: "pem" | "key") => join(temp.path, `${name}.${kind}`);
  async function makeCertificate(name: string) {
    const [certificate, key] = [fileOf(name, "pem"), fileOf(name, "key")];
    const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    const names = ["-subj", `/CN=${name}`, "-addext", `subjectAltName=DNS:${name}`];
    await run("openssl", ["req", "-x509", ...curve, ...names, "-keyout", key, "-out", certificate]);
    return { certificate: await readFile(certificate, "utf8"), key: new Secret(await readFile(key, "utf8")) };
  }
  const certificateFiles = (name: string) => ({ certificate_file: fileOf(name, "pem"), key_file: fileOf(name, "key") });

  const places = () => ({
    gatewaySockets: join(temp.path, "gateway"),
    gatewayProcess: join(temp.path, "gateway.json"),
  });
  function start(keys: object): Promise<CertifiedGateway> {
    const guests = { awaken: () => {} };
    const node = { ...createSimulatedExecs(guests), ...createSimulatedSockets(guests) };
    const { signal } = new AbortController();
    const deps = { upstream: { directory: null, urls: directory, node }, log };
    const options = { program: PROGRAM, places: places(), uid: UID, ssh: null, pingMs: 1_000 };
    return openCertified(
      { log, open: (urls) => startGatewayProcess(deps, { ...options, urls }, { signal }) },
      UrlConfig.parse({ listen: { port: 0 }, ...keys }),
      { lookMs: 100 },
    );
  }
  const pidOf = async (): Promise<number> => JSON.parse(await readFile(places().gatewayProcess, "utf8")).pid;

  async function ask(port: number, path: string, host = "box.localhost") {
    const headers = { host, connection: "close" };
    const [answer] = await once(request({ host: "127.0.0.1", port, path, headers }).end(), "response");
    return { status: answer.statusCode, location: answer.headers.location, text: await text(answer) };
  }
  /** The serial number of the certificate that somebody is shown who asks for that name. */
  async function shown(port: number, servername: string): Promise<{ name: string; serial: string }> {
    const socket = connectTls({ host: "127.0.0.1", port, servername, rejectUnauthorized: false });
    try {
      await once(socket, "secureConnect");
      const { subject, serialNumber: serial } = socket.getPeerCertificate();
      return { name: String(subject.CN), serial };
    } finally {
      socket.destroy();
    }
  }

  it("are served with the rights of nobody, also on a port below 1024, and again after it was killed", async () => {
    const port = await freePortBelow(1024);
    await using gateway = await start({ listen: { port } });
    assert.deepEqual(gateway.urls, { port, plainPort: null });
    assert.equal(gateway.ssh, null);
    assert.deepEqual(await ask(port, "/a"), { status: 200, location: undefined, text: "http /a" });
    const pid = await pidOf();
    assert.match(await readFile(`/proc/${pid}/status`, "utf8"), new RegExp(`^Uid:(\\s+${UID}){4}$`, "m"));
    await waitFor(() => notes.length > 0, { what: "the note of it" });
    process.kill(pid, "SIGKILL");
    await waitFor(
      () =>
        ask(port, "/b").then(
          ({ status }) => status === 200,
          () => false,
        ),
      {
        what: "another gateway",
        intervalMs: 10,
      },
    );
    assert.notEqual(await pidOf(), pid);
  });

  it("name the key of the configuration whose port is taken", async () => {
    await using taken = createTcp().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const { port } = taken.address() as AddressInfo;
    await assert.rejects(start({ listen: { port } }), /cannot listen on .* for URLs: .*EADDRINUSE.*set urls\.listen/);
    const tls = { certificates: [certificateFiles("made.example")] };
    await assert.rejects(
      start({ tls, plain: { port } }),
      /cannot listen on .* for URLs: .*EADDRINUSE.*set urls\.plain/,
    );
  });

  it("show certificates that can be changed, but by none that cannot be used", async () => {
    await makeCertificate("box.example");
    await using gateway = await start({ tls: { certificates: [certificateFiles("box.example")] }, plain: { port: 0 } });
    const { port, plainPort } = gateway.urls ?? assert.fail();
    const first = await shown(port, "box.example");
    assert.equal(first.name, "box.example");
    const moved = await ask(plainPort ?? 0, "/a?b", "box.example");
    assert.deepEqual([moved.status, moved.location], [308, `https://box.example:${port}/a?b`]);
    assert.equal((await shown(port, "made.example")).name, "made.example");
    assert.equal((await shown(port, "else.example")).name, "box.example");

    await writeFile(fileOf("box.example", "key"), "no key");
    await waitFor(() => gateway.certificateProblem !== null, { what: "the problem" });
    assert.match(gateway.certificateProblem ?? "", /urls\.tls\.certificates\[0\]: .*do not belong together/);
    assert.deepEqual(await shown(port, "box.example"), first);
    assert.equal(told.filter(({ event }) => event === "urls.certificates_unusable").length, 1);

    const { serial } = first;
    await makeCertificate("box.example");
    await waitFor(async () => (await shown(port, "box.example")).serial !== serial, { what: "the new one" });
    assert.equal(gateway.certificateProblem, null);
    const made = new X509Certificate(await readFile(fileOf("box.example", "pem"), "utf8"));
    assert.deepEqual(gateway.certificatesEnd, new Date(made.validTo));
    const second = await shown(port, "box.example");
    process.kill(await pidOf(), "SIGKILL");
    await waitFor(
      () =>
        shown(port, "box.example").then(
          (now) => now.serial === second.serial,
          () => false,
        ),
      {
        what: "the new one, by another gateway",
      },
    );
  });

  it("say at the start which file cannot be used", async () => {
    const none = { certificate_file: "/nowhere/a.pem", key_file: "/nowhere/a.key" };
    await assert.rejects(
      start({ tls: { certificates: [none] } }),
      /urls\.tls\.certificates\[0\]\.certificate_file cannot be/,
    );
    await makeCertificate("one.example");
    await copyFile(fileOf("one.example", "key"), fileOf("other.example", "key"));
    await makeCertificate("one.example");
    const mixed = { ...certificateFiles("one.example"), key_file: fileOf("other.example", "key") };
    await assert.rejects(
      start({ tls: { certificates: [mixed] } }),
      /urls\.tls\.certificates\[0\]: .*do not belong together/,
    );
  });

  it("show certificates that the server has made for a name, and answer who checks it", async () => {
    const acme = { directory_url: "https://acme.example/directory", terms_agreed: true };
    await using gateway = await start({ acme, plain: { port: 0 }, public: { port: 443 } });
    const { port, plainPort } = gateway.urls ?? assert.fail();
    assert.equal((await shown(port, "made.example")).name, "made.example");
    await assert.rejects(shown(port, "else.example"));
    const challenge = (host: string) => ask(plainPort ?? 0, "/.well-known/acme-challenge/token", host);
    assert.deepEqual(await challenge("made.example"), { status: 200, location: undefined, text: "token.print" });
    assert.equal((await challenge("else.example")).status, 404);
    assert.equal((await ask(plainPort ?? 0, "/", "made.example")).location, "https://made.example/");
  });
});

async function freePortBelow(most: number): Promise<number> {
  for (let port = most - 1; port > 500; port--) {
    const server = createTcp().listen(port, "127.0.0.1");
    const isFree = await once(server, "listening").then(
      () => true,
      () => false,
    );
    if (isFree) {
      await once(server.close(), "close");
      return port;
    }
  }
  throw new Error("no port is free");
}
