import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { waitFor } from "@mags/test-kit";
import { INTERNET, type Internet, startInternet } from "./harness/internet.ts";
import { putNpmPackage, putWheel } from "./harness/packages.ts";
import { startServer, type TestServer } from "./harness/server.ts";

const { publicAddress, mirrorAddress, hostAddress, forbidden, dnsAddress } = INTERNET;

let internet: Internet;
let server: TestServer;
let hostService: Server;
before(async () => {
  internet = await startInternet();
  hostService = createServer((_request, reply) => reply.end("reached the host")).listen(8080, "0.0.0.0");
  putWheel(internet.files);
  putNpmPackage(internet.files, "https://mirror.test/npm");
  await writeFile(join(internet.files, "script.sh"), '#!/bin/bash\n[ -n "$BASH" ] && echo fetched by bash\n');
  server = await startServer({
    network: { exceptions: [`${mirrorAddress}/32`], name_servers: [dnsAddress] },
    node: {
      guest: {
        ca_certificates: [internet.authority],
        environment: {
          PIP_INDEX_URL: "https://mirror.test/simple",
          npm_config_registry: "https://mirror.test/npm",
          FROM_OPERATOR: "yes",
        },
        files: [{ path: "/etc/from-operator", source: internet.authority }],
      },
    },
  });
});
after(async () => {
  await server?.[Symbol.asyncDispose]();
  hostService?.close();
  await internet?.[Symbol.asyncDispose]();
});

/** Prints `<address> <what came back>` and the milliseconds it took. */
const probe = (addresses: readonly string[], port: number) =>
  `for a in ${addresses.join(" ")}; do
     from=$(date +%s%3N); got=$(curl -s --noproxy '*' --max-time 8 http://$a:${port}/any || echo "refused $?"); echo "$a $got $(( $(date +%s%3N) - from ))"
   done`;

describe("the network of a guest", () => {
  it("reaches the internet by address and by name", async () => {
    const { text, errors } = await server.mags([
      "run",
      `curl -s http://${publicAddress}/; curl -s http://public.test/`,
    ]);
    assert.equal(text, `reached ${publicAddress}\nreached ${publicAddress}\n`, errors);
  });

  it("is refused every private, link-local and metadata address, at once", async () => {
    const { text } = await server.mags([
      "run",
      `curl -s -o /dev/null http://${publicAddress}/\n${probe(forbidden, 80)}`,
    ]);
    const lines = text.trimEnd().split("\n");
    assert.equal(lines.length, forbidden.length, text);
    for (const line of lines) {
      const [, outcome, code, ms] = line.split(" ");
      assert.equal(`${outcome} ${code}`, "refused 7", line); // curl: could not connect
      assert.ok(Number(ms) < 4_000, line);
    }
  });

  it("is refused the host, by its own addresses, the gateway's and the DNS forwarder's, and a name that leads inside", async () => {
    const addresses = [hostAddress, "10.0.0.1", "rebound.test"];
    const { text } = await server.mags(["run", probe(addresses, 8080)]);
    for (const line of text.trimEnd().split("\n")) assert.match(line, / refused 7 /);
    const forwarder = await server.mags(["run", probe([server.uplinkAddress(1)], 8080)]);
    assert.match(forwarder.text, / refused 7 /);
  });

  it("is refused other guests", async () => {
    const listener = await server.submit({ script: "python3 -m http.server 9000 --bind 0.0.0.0" });
    await waitFor(async () => (await server.status(listener)).status === "running", { what: "the listener" });
    const { index } = await server.vmRecord((await server.status(listener)).vm_id ?? "");
    const { text } = await server.mags(["run", probe([server.uplinkAddress(index + 1)], 9000)]);
    for (const line of text.trimEnd().split("\n")) assert.match(line, / refused 7 /);
    await server.mags(["stop", listener]);
  });

  it("has no way around by IPv6", async () => {
    const { text } = await server.mags(["run", "ip -6 route show default | wc -l"]);
    assert.equal(text, "0\n");
  });
});

describe("what the operator adds to all guests", () => {
  it("is there: environment and files", async () => {
    const { text } = await server.mags(["run", "echo $FROM_OPERATOR; head -1 /etc/from-operator"]);
    assert.equal(text, "yes\n-----BEGIN CERTIFICATE-----\n");
  });

  it("opens a private package mirror with a certificate of its own authority: pip and npm install as root", async () => {
    const script = `
      pip install greeting > /tmp/pip.log 2>&1 || { cat /tmp/pip.log; exit 1; }
      python3 -c 'import greeting; print(greeting.TEXT)'
      npm install -g greeting > /tmp/npm.log 2>&1 || { cat /tmp/npm.log; exit 1; }
      greet
      mkdir app; cd app; npm install greeting > /tmp/npm2.log 2>&1 || { cat /tmp/npm2.log; exit 1; }
      node -e 'require("greeting")'
    `;
    const { text, exitCode, errors } = await server.mags(["run", script], { timeoutMs: 240_000 });
    assert.equal(text, "hello from a wheel\nhello from npm\nhello from npm\n", errors);
    assert.equal(exitCode, 0);
  });
});

describe("a job of type url", () => {
  it("runs the script that its guest fetched", async () => {
    const id = await server.submit({ type: "url", script: "http://public.test/script.sh" });
    assert.equal((await server.ended(id)).exit_code, 0);
    assert.equal((await server.mags(["logs", id])).text, "fetched by bash\n");
  });

  it("that waits for an address which never answers keeps no other job from starting", async () => {
    const waiting = await Promise.all(
      Array.from({ length: 3 }, () => server.submit({ type: "url", script: "http://public.test/never" })),
    );
    assert.equal((await server.ended(await server.submit({ script: "exit 4" }), 15_000)).exit_code, 4);
    for (const id of waiting) {
      assert.equal((await server.status(id)).status, "pending");
      await server.mags(["stop", id]);
    }
  });

  it("is under the egress rules of its guest, and its failures say why", async () => {
    const cases = [
      ["http://rebound.test/script.sh", /could not be fetched/],
      ["http://no-such-name.test/x", /Could not resolve host/],
      ["http://public.test/simple/greeting/greeting-1.0-py3-none-any.whl", /not text/],
    ] as const;
    for (const [script, reason] of cases) {
      const status = await server.ended(await server.submit({ type: "url", script }));
      assert.equal(status.status, "error");
      assert.match(status.error_message ?? "", reason);
      assert.equal(status.exit_code, undefined);
    }
  });
});
