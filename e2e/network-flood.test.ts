import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { python, submitBeside } from "./harness/beside.ts";
import { INTERNET, type Internet, startInternet } from "./harness/internet.ts";
import { startServer, type TestServer } from "./harness/server.ts";

const { publicAddress, dnsAddress } = INTERNET;

let internet: Internet;
let server: TestServer;
before(async () => {
  internet = await startInternet();
  server = await startServer({ network: { name_servers: [dnsAddress] } });
});
after(async () => {
  await server?.[Symbol.asyncDispose]();
  await internet?.[Symbol.asyncDispose]();
});

const FLOODS: readonly [string, string][] = [
  [
    "of packets, to ever other ports",
    `
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
port = 0
while time.monotonic() < until:
    port = port % 60000 + 1
    try: sender.sendto(b"x" * 1000, ("${publicAddress}", port))
    except OSError: pass`,
  ],
  [
    "of connections, all kept open",
    `
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (100000, 100000))
kept = []
while time.monotonic() < until:
    one = socket.socket()
    one.setblocking(False)
    one.connect_ex(("${publicAddress}", 80))
    kept.append(one)
    if len(kept) > 20000: kept = kept[10000:]`,
  ],
];

describe("a guest that floods the network", () => {
  for (const [what, flood] of FLOODS)
    it(`with a flood ${what}, leaves other guests theirs`, async () => {
      const begin = 'import socket, time\nprint("begun", flush=True)\nuntil = time.monotonic() + 12';
      const id = await submitBeside(server, { script: python(`${begin}${flood}\nraise SystemExit(3)`) });
      const script = `for n in 1 2 3 4 5; do curl -sS --max-time 5 http://public.test/ || exit 1; sleep 0.5; done`;
      const { exitCode, text, errors } = await server.mags(["run", script]);
      assert.equal(exitCode, 0, errors);
      assert.equal(text, `reached ${publicAddress}\n`.repeat(5));
      assert.equal((await server.status(id)).status, "running", "the flood ended too early to show anything");
      assert.equal((await server.ended(id)).exit_code, 3);
    });
});
