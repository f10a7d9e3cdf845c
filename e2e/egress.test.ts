import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { waitFor } from "@mags/test-kit";
import { INTERNET, type Internet, startInternet } from "./harness/internet.ts";
import { startServer, type TestServer } from "./harness/server.ts";
import { tell, UNTIL_TOLD } from "./harness/told.ts";

const { publicAddress, otherAddress, wildAddress, mirrorAddress, dnsAddress } = INTERNET;
const MAX_CONNECTIONS = 64;
const BANDWIDTH_MBIT = 80;
const MIB = 1024 ** 2;

interface JobEvent {
  readonly name: string;
  readonly message: string;
  readonly data: { readonly destination?: string; readonly count?: number };
}

let internet: Internet;
let server: TestServer;
before(async () => {
  internet = await startInternet();
  await writeFile(join(internet.files, "large"), Buffer.alloc(20 * MIB));
  server = await startServer({
    network: {
      exceptions: [`${mirrorAddress}/32`],
      name_servers: [dnsAddress],
      max_connections: MAX_CONNECTIONS,
      new_connections_per_second: 100,
      bandwidth_mbit: BANDWIDTH_MBIT,
    },
  });
});
after(async () => {
  await server?.[Symbol.asyncDispose]();
  await internet?.[Symbol.asyncDispose]();
});

/** For scripts: `get <url>` prints what came back, or curl's exit code, within 3 s. */
const GET = `get() { got=$(curl -s --noproxy '*' --max-time 3 "$1") && echo "$1 $got" || echo "$1 failed $?"; }\n`;
/** curl: the name is not resolved; the connection is refused. */
const NO_NAME = 6;
const NO_CONNECTION = 7;

async function run(script: string, egress: unknown): Promise<{ readonly id: string; readonly lines: string[] }> {
  const id = await server.submit({ script: GET + script, egress });
  const { status, error_message } = await server.ended(id);
  assert.equal(status, "completed", error_message);
  return { id, lines: (await server.mags(["logs", id])).text.trimEnd().split("\n") };
}

async function events(id: string): Promise<readonly JobEvent[]> {
  const { body } = await server.api.call("GET", `/api/v1/mags-jobs/${id}/events`);
  return (body as { events: JobEvent[] }).events;
}

/** Destinations that events name as denied, with the last count of each. */
async function denied(id: string, atLeast: number): Promise<Readonly<Record<string, number>>> {
  return waitFor(
    async () => {
      const told = (await events(id)).filter(({ name }) => name === "egress_denied");
      const last = Object.fromEntries(told.map(({ data }) => [data.destination, data.count ?? 0]));
      return Object.keys(last).length >= atLeast ? last : undefined;
    },
    { what: `${atLeast} denied destinations`, deadlineMs: 10_000 },
  );
}

describe("egress filtered", () => {
  it("tells what was denied, where to and how often", async () => {
    const { id, lines } = await run(
      "get http://10.1.2.3/; get http://10.1.2.3/; get http://192.168.1.1:8080/",
      "filtered",
    );
    for (const line of lines) assert.match(line, new RegExp(`failed ${NO_CONNECTION}$`));
    assert.deepEqual(await denied(id, 2), { "10.1.2.3:80/tcp": 2, "192.168.1.1:8080/tcp": 1 });
    const event = (await events(id)).find(({ data }) => data.destination === "10.1.2.3:80/tcp");
    assert.match(event?.message ?? "", /network access denied: 10\.1\.2\.3:80\/tcp/);
  });

  it("tells of a scan of thousands of addresses in few events, and while it runs", async () => {
    const scan = `python3 - <<'E'
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for n in range(3000):
    try: s.sendto(b"x", ("10.%d.%d.1" % (n // 250, n % 250), 9))
    except OSError: pass
print("sent", flush=True)
time.sleep(6)
E`;
    const id = await server.submit({ script: scan });
    await denied(id, 5);
    assert.equal((await server.status(id)).status, "running");
    await server.ended(id);
    await waitFor(async () => "other destinations" in (await denied(id, 5)), { what: "the sum", deadlineMs: 10_000 });
    const told = await denied(id, 5);
    assert.ok("connections beyond the limit a second" in told);
    const sum = Object.values(told).reduce((all, count) => all + count, 0);
    assert.ok(sum > 2_900 && sum <= 3_000, `3000 packets were sent, ${sum} are told of`);
    assert.ok((await events(id)).length < 70);
  });
});

describe("egress none", () => {
  it("reaches nothing, by address or by name, and is refused at once", async () => {
    // What is not refused but dropped ends otherwise, by its time-out.
    const { id, lines } = await run(`get http://${publicAddress}/; get http://public.test/`, "none");
    assert.deepEqual(lines, [
      `http://${publicAddress}/ failed ${NO_CONNECTION}`,
      `http://public.test/ failed ${NO_NAME}`,
    ]);
    const told = await denied(id, 2);
    assert.ok(`${publicAddress}:80/tcp` in told && "name service:53/udp" in told, JSON.stringify(told));
  });
});

describe("an egress list of hosts", () => {
  const allow = ["public.test", "*.wild.test"];

  it("reaches the hosts on it and names below its wildcards, and no others", async () => {
    const names = ["public.test", "a.wild.test", "other.test", "wild.test"];
    const { id, lines } = await run(names.map((name) => `get http://${name}/`).join("\n"), { allow });
    assert.deepEqual(lines, [
      `http://public.test/ reached ${publicAddress}`,
      `http://a.wild.test/ reached ${wildAddress}`,
      `http://other.test/ failed ${NO_NAME}`,
      `http://wild.test/ failed ${NO_NAME}`,
    ]);
    const told = await denied(id, 2);
    assert.ok("other.test" in told && "wild.test" in told, JSON.stringify(told));
  });

  it("has no way around by a literal address or another name server", async () => {
    const ask = `python3 - <<'E'
import socket
q = bytes.fromhex("000101000001000000000000056f7468657204746573740000010001")
for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
    s = socket.socket(socket.AF_INET, kind); s.settimeout(3)
    try:
        s.connect(("${dnsAddress}", 53)); s.send(q if kind == socket.SOCK_DGRAM else len(q).to_bytes(2, "big") + q); s.recv(512); print("answered")
    except OSError as e: print(type(e).__name__)
E`;
    const { lines } = await run(`get http://${otherAddress}/; get http://${publicAddress}/\n${ask}`, { allow });
    assert.deepEqual(lines.slice(0, 2), [
      `http://${otherAddress}/ failed ${NO_CONNECTION}`,
      `http://${publicAddress}/ failed ${NO_CONNECTION}`, // nobody asked for its name yet
    ]);
    assert.equal(lines.length, 4);
    for (const line of lines.slice(2)) assert.notEqual(line, "answered");
  });

  it("never leads inside, whatever addresses the names on it have", async () => {
    const { id, lines } = await run("get http://rebound.test/", { allow: ["rebound.test"] });
    assert.deepEqual(lines, [`http://rebound.test/ failed ${NO_CONNECTION}`]);
    assert.deepEqual(await denied(id, 1), { "10.1.2.3:80/tcp": 1 });
  });

  it("opens the operator's exceptions to the names on it only", async () => {
    const script = "get http://mirror.test/";
    assert.deepEqual((await run(script, { allow: ["mirror.test"] })).lines, [
      `http://mirror.test/ reached ${mirrorAddress}`,
    ]);
    const { lines } = await run(`${script}; get http://${mirrorAddress}/`, { allow: ["public.test"] });
    assert.deepEqual(lines, [
      `http://mirror.test/ failed ${NO_NAME}`,
      `http://${mirrorAddress}/ failed ${NO_CONNECTION}`,
    ]);
  });

  it("holds on across a restart of the server", async () => {
    const script = `${GET}echo on; ${UNTIL_TOLD}; get http://public.test/; get http://other.test/`;
    const id = await server.submit({ script, egress: { allow } });
    await waitFor(async () => (await server.mags(["logs", id])).text === "on\n", { what: "the script" });
    await server.kill();
    await server.start();
    assert.deepEqual(((await server.api.call("GET", `/api/v1/mags-jobs/${id}`)).body as { egress: unknown }).egress, {
      allow,
    });
    await server.running(id);
    await tell(server, id);
    await server.ended(id);
    assert.equal(
      (await server.mags(["logs", id])).text,
      `on\nhttp://public.test/ reached ${publicAddress}\nhttp://other.test/ failed ${NO_NAME}\n`,
    );
  });

  it("can be given on the command line, and bad ones are refused with what is wrong", async () => {
    const { text } = await server.mags(["run", "--egress", "public.test,*.wild.test", `${GET}get http://a.wild.test/`]);
    assert.equal(text, `http://a.wild.test/ reached ${wildAddress}\n`);
    const bad = await server.mags(["run", "--egress", "10.0.0.0/8", "true"]);
    assert.equal(bad.exitCode, 1);
    assert.match(bad.errors, /egress.*host name/);
  });
});

describe("what one guest takes of the network", () => {
  it("is bounded in connections: those beyond are refused, and there is room again when some end", async () => {
    const script = `python3 - <<'E'
import socket
held = []
for n in range(${MAX_CONNECTIONS + 40}):
    s = socket.socket(); s.settimeout(5)
    try: s.connect(("${publicAddress}", 80)); held.append(s)
    except OSError: break
print(len(held))
E`;
    const { id, lines } = await run(script, "filtered");
    const held = Number(lines[0]);
    assert.ok(held > MAX_CONNECTIONS / 2 && held <= MAX_CONNECTIONS, lines[0]);
    assert.ok("connections beyond the limit at a time" in (await denied(id, 1)));
    assert.deepEqual((await run("get http://public.test/", "filtered")).lines, [
      `http://public.test/ reached ${publicAddress}`,
    ]);
  });

  const TABLE = "/proc/net/nf_conntrack";
  const skip = !existsSync(TABLE) && `this kernel does not show its connections in ${TABLE}`;
  it("is forgotten with it: the host keeps no connection of a guest that is gone", { skip }, async () => {
    const script = `python3 - <<'E'
import socket, time
held = [socket.create_connection(("${publicAddress}", 80)) for n in range(50)]
print("held", flush=True); time.sleep(600)
E`;
    const id = await server.submit({ script });
    await waitFor(async () => (await server.mags(["logs", id])).text === "held\n", { what: "the connections" });
    const { index } = await server.vmRecord((await server.status(id)).vm_id ?? "");
    const own = `src=${server.uplinkAddress(index + 1)} `;
    const held = async () => (await readFile(TABLE, "latin1")).split("\n").filter((line) => line.includes(own)).length;
    assert.ok((await held()) >= 50);
    await server.mags(["stop", id]);
    await waitFor(async () => (await held()) === 0, { what: "them to be forgotten" });
  });

  it("is bounded in bandwidth", async () => {
    const script = `curl -s -o /dev/null -w '%{size_download} %{time_total}' http://${publicAddress}/large`;
    const { lines } = await run(script, "filtered");
    const [bytes, seconds] = (lines[0] ?? "").split(" ").map(Number);
    assert.equal(bytes, 20 * MIB);
    // At most so fast, but for the first burst; how much slower the guest is by itself does not matter.
    assert.ok((seconds ?? 0) > (0.9 * 20 * MIB * 8) / (BANDWIDTH_MBIT * 1e6), lines[0]);
  });
});
