import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { connect, createServer, type Server } from "node:net";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { makeTempDir, type TempDir, waitFor } from "@mags/test-kit";
import { type Place, startTestGateway, type TestGateway } from "./harness.ts";

const forwards = (place: Place) => () => {
  let test: TestGateway;
  let temp: TempDir;
  let echo: Server;
  let echoPort: number;
  const children: ChildProcess[] = [];
  before(async () => {
    test = await startTestGateway({}, place);
    temp = await makeTempDir();
    echo = createServer({ allowHalfOpen: true }, (socket) => socket.on("error", () => {}).pipe(socket));
    echo.listen(0, "127.0.0.1");
    await once(echo, "listening");
    echoPort = (echo.address() as { port: number }).port;
  });
  after(async () => {
    for (const child of children) child.kill();
    echo.close();
    await test[Symbol.asyncDispose]();
    await temp[Symbol.asyncDispose]();
  });

  /** ssh -N, until it listens (or says so). */
  async function forward(args: readonly string[], isUp: (said: string) => Promise<unknown>): Promise<string> {
    const child = spawn("ssh", [...test.options(), "-v", "-N", "-o", "ExitOnForwardFailure=yes", ...args, "box@h"], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    children.push(child);
    let said = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
    await waitFor(
      async () => {
        assert.equal(child.exitCode, null, said);
        return await isUp(said).then(
          (answer) => answer !== "",
          () => false,
        );
      },
      { what: "the forward", intervalMs: 50 },
    );
    return said;
  }

  /** What comes back of what is sent, to the end. */
  async function talk(to: { readonly port: number } | { readonly path: string }, text: string): Promise<string> {
    const socket = connect(to as { port: number });
    let heard = "";
    socket.setEncoding("utf8").on("data", (piece: string) => {
      heard += piece;
    });
    socket.on("error", () => {}); // what was heard before is what counts
    socket.end(text);
    await new Promise((resolve) => socket.once("close", resolve));
    return heard;
  }
  const freePort = async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    server.close();
    return port;
  };
  const large = "0123456789abcdef".repeat(100_000);

  it("go into the guest (-L), to an address and to a socket", async () => {
    const [port, path] = [await freePort(), join(temp.path, "in")];
    const inGuest = createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket)).listen(path);
    const local = await freePort();
    await forward(["-L", `${port}:127.0.0.1:${echoPort}`, "-L", `${local}:${path}`], () => talk({ port }, "x"));
    assert.equal(await talk({ port }, large), large);
    assert.equal(await talk({ port: local }, large), large);
    inGuest.close();
  });

  it("come out of the guest (-R), on a port that is free, and on a socket", async () => {
    const path = join(temp.path, "out");
    const said = await forward(
      ["-R", `0:127.0.0.1:${echoPort}`, "-R", `${path}:127.0.0.1:${echoPort}`],
      async (text) => {
        assert.match(text, /Allocated port \d+/i);
        return talk({ path }, "x");
      },
    );
    const port = Number(/Allocated port (\d+)/i.exec(said)?.[1]);
    assert.equal(await talk({ port }, large), large);
    assert.equal(await talk({ path }, large), large);
  });

  it("come out of the guest (-R) again when it has slept, which they do not keep it from", async () => {
    const port = await freePort();
    await forward(["-R", `${port}:127.0.0.1:${echoPort}`], () => talk({ port }, "x"));
    test.sleep.begin();
    await waitFor(() => test.sleep.waiting > 0, { what: "somebody who waits for the wake" });
    assert.equal(await talk({ port }, "x"), "");
    test.sleep.end();
    await waitFor(async () => (await talk({ port }, "x")) === "x", { what: "the port", intervalMs: 50 });
  });

  it("go wherever the client likes (-D)", async () => {
    const port = await freePort();
    await forward(["-D", String(port)], async () => {
      const socket = connect(port, "127.0.0.1");
      await once(socket, "connect");
      return socket.destroy();
    });
    const url = `http://127.0.0.1:${echoPort}/`;
    const { stdout } = await test.run("curl", ["-s", "--http0.9", "-m", "3", "-x", `socks5h://127.0.0.1:${port}`, url]);
    assert.match(stdout, /^GET \/ HTTP/);
  });

  it("fail alone when nothing listens there", async () => {
    const [port, other, nobody] = [await freePort(), await freePort(), await freePort()];
    await forward(["-L", `${port}:127.0.0.1:${nobody}`, "-L", `${other}:127.0.0.1:${echoPort}`], () =>
      talk({ port: other }, "x"),
    );
    assert.equal(await talk({ port }, "x"), "");
    assert.equal(await talk({ port: other }, "still"), "still");
    const { exitCode, stderr } = await test.ssh(["-v", "-W", `127.0.0.1:${nobody}`, "box@h"]);
    assert.equal(exitCode, 255);
    assert.match(stderr, /open failed: connect failed: .*ECONNREFUSED/);
  });
};

describe("forwarded connections", forwards("within"));
describe("forwarded connections, by an edge apart", forwards("apart"));
