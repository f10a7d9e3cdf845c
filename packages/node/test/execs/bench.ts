/** A node's streamed commands over an agent that runs on this host; its connection and the node's process can be ended. */
import { randomUUID } from "node:crypto";
import { AppError, silentLogger } from "@mags/core";
import type { AccountId, ExecAttachment, ExecId, ExecStart, JobId } from "@mags/domain";
import { makeTempDir } from "@mags/test-kit";
import type { AgentConnection } from "../../src/agent/index.ts";
import { type ExecSessions, type ExecSessionsOptions, openExecSessions } from "../../src/execs/exec-sessions.ts";
import { createGuests, type Guests } from "../../src/guests/guests.ts";
import { type HostAgent, startHostAgent } from "../agent/host-agent.ts";
import { createPortSwitch } from "../agent/port-switch.ts";

export const GUEST = randomUUID() as JobId;
export const ACCOUNT = randomUUID() as AccountId;

export interface ExecBench extends AsyncDisposable {
  readonly agent: HostAgent;
  readonly directory: string;
  execs: ExecSessions;
  /** Calls of `touch`. */
  touches: number;
  /** Calls of `use` while the guest slept. */
  wakes: number;
  start(command: string | null, options?: Partial<ExecStart>): Promise<ExecAttachment>;
  attach(execId: ExecId, offset: number): Promise<ExecAttachment>;
  /** The guest sleeps: its connection is given up. It wakes with the next use. */
  sleep(): Promise<void>;
  wake(): Promise<void>;
  /** Another process takes everything up. */
  restart(): Promise<void>;
}

export async function startExecBench(options: Partial<ExecSessionsOptions> = {}): Promise<ExecBench> {
  await using scope = new AsyncDisposableStack();
  const temp = scope.use(await makeTempDir());
  const agent = scope.use(await startHostAgent());
  const control = createPortSwitch(agent.control);
  const bulk = createPortSwitch(agent.bulk);
  const limits = {
    ...{
      perGuest: 128,
      spoolBytes: 64 * 1024 * 1024,
      accountSpoolBytes: 1024 ** 3,
      detachMs: 600_000,
      keptMs: 600_000,
    },
    ...options,
  };
  let connection: AgentConnection | undefined;
  let waking: Promise<void> | undefined;
  let guests: Guests;

  async function open(): Promise<ExecSessions> {
    guests = createGuests();
    const execs = await openExecSessions({ guests, log: silentLogger }, temp.path, limits);
    guests.addOwner(execs.owner);
    guests.add(GUEST, {
      async use(_reason, work) {
        if (!connection) {
          bench.wakes++;
          await bench.wake();
        }
        if (!connection) throw new AppError("job_not_running", "it does not wake");
        return work({ id: GUEST, agent: connection, gone: new AbortController().signal });
      },
      touch: () => void bench.touches++,
    });
    return execs;
  }

  async function disconnect(): Promise<void> {
    await connection?.[Symbol.asyncDispose]();
    connection = undefined;
    control.cut();
    bulk.cut();
  }

  const bench: ExecBench = {
    agent,
    directory: temp.path,
    execs: undefined as unknown as ExecSessions, // set below, before anybody has the bench
    touches: 0,
    wakes: 0,
    start: (command, start = {}) =>
      bench.execs.startExec({
        ...{ execId: randomUUID() as ExecId, guest: GUEST, accountId: ACCOUNT, command, terminal: null, stdin: false },
        ...{ environment: {}, cwd: null, timeoutMs: null, leavesGroup: false, endsWithClient: false },
        ...start,
      }),
    attach: (execId, offset) => bench.execs.attachExec(execId, { accountId: ACCOUNT, offset }),
    async sleep() {
      guests.suspended(GUEST);
      await disconnect();
    },
    wake() {
      waking ??= (async () => {
        connection = await agent.connect({ control: control.plug(), bulk: bulk.plug() });
        guests.connected({ id: GUEST, agent: connection, gone: new AbortController().signal });
      })().finally(() => {
        waking = undefined;
      });
      return waking;
    },
    async restart() {
      await disconnect();
      await bench.execs[Symbol.asyncDispose]();
      bench.execs = await open();
      await bench.wake();
      bench.execs.settle();
    },
    async [Symbol.asyncDispose]() {
      await bench.execs[Symbol.asyncDispose]();
      await disconnect();
      await owned.disposeAsync();
    },
  };
  bench.execs = await open();
  await bench.wake();
  const owned = scope.move();
  return bench;
}

/** Reads to the end. */
export async function readAll(
  attachment: ExecAttachment,
): Promise<{ readonly stdout: Buffer; readonly stderr: Buffer }> {
  const pieces = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
  for (let outputs = await attachment.read(); outputs.length > 0; outputs = await attachment.read())
    for (const { source, offset, bytes } of outputs) {
      pieces[source].push(bytes);
      attachment.acknowledge(offset + bytes.length);
    }
  return { stdout: Buffer.concat(pieces.stdout), stderr: Buffer.concat(pieces.stderr) };
}
