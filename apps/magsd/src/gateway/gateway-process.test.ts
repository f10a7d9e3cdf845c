import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { join, resolve } from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { identify, isAppError, Secret, silentLogger } from "@mags/core";
import type { SshDirectory } from "@mags/domain";
import { createSimulatedNode, makeTempDir, type TempDir, waitFor } from "@mags/test-kit";
import { SshConfig } from "../ssh-config.ts";
import { startGatewayProcess } from "./gateway-process.ts";
import type { KeptGateway } from "./keep-gateway.ts";

const PROGRAM = resolve(import.meta.dirname, "gateway-program.ts");
const UID = 1_910_000_001;

describe("the gateway of a server", () => {
  let temp: TempDir;
  let directory: SshDirectory;
  before(async () => {
    temp = await makeTempDir();
    const keyFile = join(temp.path, "key");
    await promisify(execFile)("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", keyFile]);
    const hostKey = new Secret(await readFile(keyFile, "utf8"));
    directory = {
      hostKey: async () => hostKey,
      find: async () => null,
      guest: async () => assert.fail("nobody has signed in"),
      untilOver: () => new Promise(() => {}),
      note: () => {},
      watchPorts: () => () => {},
    };
  });
  after(() => temp[Symbol.asyncDispose]());

  const placesIn = ({ path }: TempDir) => ({
    gatewaySockets: join(path, "gateway"),
    gatewayProcess: join(path, "gateway.json"),
  });
  const places = () => placesIn(temp);
  interface Start {
    readonly port?: number;
    readonly signal?: AbortSignal;
    readonly at?: ReturnType<typeof places>;
    readonly program?: string;
  }
  const start = ({
    port = 0,
    signal = new AbortController().signal,
    at = places(),
    program = PROGRAM,
  }: Start = {}): Promise<KeptGateway> =>
    startGatewayProcess(
      { upstream: { directory, urls: null, node: createSimulatedNode() }, log: silentLogger },
      { program, places: at, uid: UID, pingMs: 1_000, ssh: SshConfig.parse({ listen: { port } }), urls: null },
      { signal },
    );
  const pidOf = async (): Promise<number> => JSON.parse(await readFile(places().gatewayProcess, "utf8")).pid;

  const portOf = ({ ssh }: KeptGateway) => ssh?.port ?? assert.fail("it has no SSH");

  async function greetingAt(port: number): Promise<string> {
    const socket = connect(port, "127.0.0.1");
    try {
      const [bytes] = await once(socket, "data");
      return String(bytes).trimEnd();
    } catch {
      return "";
    } finally {
      socket.destroy();
    }
  }

  it("is a process with the rights of nobody, and is gone with all it had when it is disposed of", async () => {
    const gateway = await start();
    const pid = await pidOf();
    assert.match(await readFile(`/proc/${pid}/status`, "utf8"), new RegExp(`^Uid:(\\s+${UID}){4}$`, "m"));
    assert.equal(await greetingAt(portOf(gateway)), "SSH-2.0-OpenSSH_9.6 Mags");
    assert.match(gateway.ssh?.fingerprint ?? "", /^SHA256:/);
    await gateway[Symbol.asyncDispose]();
    await assert.rejects(readFile(`/proc/${pid}/status`));
    assert.deepEqual((await readdir(temp.path)).toSorted(), ["key", "key.pub"]);
  });

  it("is started again when it dies, and listens where it did", async () => {
    await using gateway = await start();
    const pid = await pidOf();
    process.kill(pid, "SIGKILL");
    await waitFor(async () => (await pidOf()) !== pid && (await greetingAt(portOf(gateway))) !== "", {
      what: "another one",
    });
  });

  it("says that another has its port when it is to be started again, and is back when that has gone", async () => {
    await using gateway = await start();
    /** The gateway is killed until somebody else is quicker. */
    const other = await waitFor(
      async () => {
        const pid = await pidOf();
        if (await identify(pid)) process.kill(pid, "SIGKILL");
        const server = createServer().listen(portOf(gateway), "127.0.0.1");
        return once(server, "listening").then(
          () => server,
          () => null,
        );
      },
      { what: "the port", intervalMs: 20 },
    );
    await waitFor(() => /EADDRINUSE.*set ssh\.listen/.test(gateway.problem ?? ""), { what: "its problem" });
    await once(other.close(), "close");
    await waitFor(() => gateway.problem === null, { what: "its return", deadlineMs: 60_000 });
    assert.equal(await greetingAt(portOf(gateway)), "SSH-2.0-OpenSSH_9.6 Mags");
  });

  it("takes the place of one that hangs and whose server was killed", async () => {
    await using left = await makeTempDir();
    await using _leftGateway = await start({ at: placesIn(left) });
    const noted = await readFile(placesIn(left).gatewayProcess, "utf8");
    const { pid } = JSON.parse(noted);
    process.kill(pid, "SIGSTOP");
    await writeFile(places().gatewayProcess, noted);
    await using gateway = await start();
    assert.notEqual(await pidOf(), pid);
    await assert.rejects(readFile(`/proc/${pid}/status`));
    assert.equal(await greetingAt(portOf(gateway)), "SSH-2.0-OpenSSH_9.6 Mags");
  });

  it("is replaced when it hangs", async () => {
    await using _gateway = await start();
    const pid = await pidOf();
    process.kill(pid, "SIGSTOP");
    await waitFor(async () => (await pidOf()) !== pid, { what: "another one", deadlineMs: 120_000 });
  });

  it("gives the start up when that is no longer wanted, and leaves nothing", async () => {
    const stopping = new AbortController();
    const starting = start({ signal: stopping.signal });
    await waitFor(async () => (await readdir(temp.path)).includes("gateway.json"), { what: "its process" });
    const pid = await pidOf();
    stopping.abort(new Error("stopped"));
    await assert.rejects(starting, /stopped/);
    await assert.rejects(readFile(`/proc/${pid}/status`));
  });

  it("says what to change when its port is taken", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    await once(other, "listening");
    const { port } = other.address() as { port: number };
    await assert.rejects(start({ port }), (error: unknown) => {
      assert.ok(isAppError(error, "unavailable"));
      assert.match(error.message, /set ssh\.listen/);
      return true;
    });
    other.close();
    assert.deepEqual((await readdir(temp.path)).toSorted(), ["key", "key.pub"]);
  });

  it("does not serve anybody where root may not become another user", async () => {
    const program = join(temp.path, "kept-root.mjs");
    await writeFile(
      program,
      `process.setgroups = () => { throw new Error("EPERM"); }; await import(${JSON.stringify(PROGRAM)});`,
    );
    await assert.rejects(
      start({ program }),
      /cannot give up the rights of root \(EPERM\): start magsd as another user/,
    );
    await rm(program);
    assert.deepEqual((await readdir(temp.path)).toSorted(), ["key", "key.pub"]);
  });

  it("is started also where what was noted of the one before is no note", async () => {
    for (const text of ["", "{", '{"pid": "1"}', "null"]) {
      await writeFile(places().gatewayProcess, text);
      await using gateway = await start();
      assert.ok(portOf(gateway) > 0);
    }
  });
});
