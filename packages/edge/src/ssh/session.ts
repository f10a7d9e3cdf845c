/** One session of a client: a shell, a command or a subsystem, with what is asked for before it and beside it. */
import { randomUUID } from "node:crypto";
import { constants } from "node:os";
import { messageOf } from "@mags/core";
import type { AccountId, ExecAttachment, ExecId, ExecStart, GuestId } from "@mags/domain";
import type { ServerChannel, Session } from "ssh2";
import type { EdgeNode } from "../upstream.ts";
import { createAllowance } from "./allowance.ts";
import { carry, fail, say } from "./command-channel.ts";
import type { OutputRoom } from "./output-room.ts";
import { createResize, sizeOf } from "./resize.ts";

export type SessionKind = "shell" | "exec" | "sftp";

export interface SessionDeps {
  readonly node: Pick<EdgeNode, "startExec">;
  readonly accountId: AccountId;
  /** @throws AppError when there is none. */
  readonly guest: () => Promise<GuestId>;
  readonly room: OutputRoom;
  /** What the client and this end of its connection are called, as sshd tells programs. */
  readonly connection: string;
  /** @returns what resolves when the client has closed the channel, or has left. */
  readonly onChannel: (channel: ServerChannel) => Promise<void>;
  /** Calls the listener when the client takes no more output. */
  readonly onUnwanted: (channel: ServerChannel, listener: () => void) => void;
  /** A socket in the guest that leads to the client's agent. */
  readonly listenForAgent: (guest: GuestId) => Promise<{ readonly path: string; close(): void }>;
  /** Aborted when the gateway ends: what is written then still arrives. */
  readonly parting: AbortSignal;
  /** Settles when its command has ended, or was told that its client left. Never rejects. */
  readonly track: (session: Promise<void>) => void;
  /** The client has closed it, and its command has ended or knows that its client left. */
  readonly onOver: () => void;
  readonly onBegin: (kind: SessionKind) => void;
  /** The modes of a `pty-req` that was just read. */
  readonly takeModes: () => Buffer | undefined;
}

const MOST_VARIABLES = 100;
const MOST_VARIABLE_BYTES = 32 * 1024;
const NAME = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/;
/** Where distributions have it. */
const SFTP_SERVERS = ["/usr/lib/openssh/sftp-server", "/usr/lib/ssh/sftp-server", "/usr/libexec/openssh/sftp-server"];
const SFTP_COMMAND = `for p in ${SFTP_SERVERS.join(" ")}; do [ -x "$p" ] && exec "$p"; done; echo 'the image has no sftp-server: install openssh-sftp-server, or use scp -O' >&2; exit 127`;

interface Reply {
  readonly accept: () => ServerChannel;
  /** Not there when no answer is wanted. */
  readonly reject: (() => void) | undefined;
}

export function serveSession(session: Session, deps: SessionDeps): void {
  const environment: Record<string, string> = {};
  let terminal: NonNullable<ExecStart["terminal"]> | null = null;
  let attachment: ExecAttachment | undefined;
  let begun = false;
  let wantsAgent = false;
  let environmentBytes = 0;
  let running = Promise.resolve();
  const resize = createResize((size) => attachment?.resize(size));
  const signals = createAllowance();

  function begin(command: string | null, kind: SessionKind, { accept, reject }: Reply): void {
    if (begun) {
      reject?.();
      return;
    }
    begun = true;
    const channel = accept();
    const said = { terminal: terminal !== null };
    // It may leave while its command is being started.
    const gone = deps.onChannel(channel);
    const part = () => fail(channel, "the server is ending", said);
    let hasLeft = false;
    const left = gone.then(() => {
      hasLeft = true;
      return undefined;
    });
    deps.parting.addEventListener("abort", part);
    deps.onBegin(kind);
    const start = async () => {
      await using scope = new AsyncDisposableStack();
      scope.defer(() => deps.parting.removeEventListener("abort", part));
      const guest = await Promise.race([deps.guest(), left]);
      if (guest === undefined || hasLeft) return;
      const agent = wantsAgent ? await agentFor(guest, channel) : undefined;
      if (agent) scope.defer(() => agent.close());
      if (hasLeft) return;
      attachment = await deps.node.startExec({
        execId: randomUUID() as ExecId, // a fresh one
        guest,
        accountId: deps.accountId,
        command,
        terminal,
        stdin: true,
        environment: {
          ...{ SSH_CLIENT: shortOf(deps.connection), SSH_CONNECTION: deps.connection },
          ...environment,
          ...(agent && { SSH_AUTH_SOCK: agent.path }),
        },
        cwd: null,
        timeoutMs: null,
        leavesGroup: true,
        endsWithClient: true,
      });
      resize.begin();
      scope.defer(() => resize.end());
      const onUnwanted = (listener: () => void) => deps.onUnwanted(channel, listener);
      await carry(channel, attachment, { room: deps.room, ...said, gone, onUnwanted });
    };
    running = start()
      .catch((error: unknown) => fail(channel, messageOf(error), said))
      .finally(() => {
        channel.end();
        channel.resume(); // only who reads all of it hears that the channel is closed
      });
    deps.track(running);
  }

  async function agentFor(guest: GuestId, channel: ServerChannel) {
    try {
      return await deps.listenForAgent(guest);
    } catch (error) {
      say(channel, `no agent is forwarded: ${messageOf(error)}`, { terminal: terminal !== null });
      return undefined;
    }
  }

  session.on("close", () => void running.then(deps.onOver));
  session.on("pty", (accept, reject, info) => {
    if (begun) return reject?.();
    terminal = { ...sizeOf(info), term: textOf(info.term) || "xterm", modes: deps.takeModes() ?? null };
    accept?.();
  });
  session.on("env", (accept, reject, { key, val }) => {
    const bytes = environmentBytes + key.length + val.length;
    const fits = bytes < MOST_VARIABLE_BYTES && Object.keys(environment).length < MOST_VARIABLES;
    if (begun || !fits || !NAME.test(key) || val.includes("\0")) return reject?.();
    environmentBytes = bytes;
    environment[key] = val;
    accept?.();
  });
  session.on("auth-agent", (accept, reject) => {
    if (begun) return reject?.();
    wantsAgent = true;
    accept?.();
  });
  session.on("window-change", (accept, _reject, info) => {
    resize.to(sizeOf(info));
    accept?.();
  });
  session.on("signal", (accept, reject, { name }) => {
    const signo = constants.signals[`SIG${name}` as NodeJS.Signals];
    if (signo === undefined || !attachment || !signals.take()) return reject?.();
    attachment.signal(signo);
    accept?.();
  });
  session.on("shell", (accept, reject) => begin(null, "shell", { accept, reject }));
  session.on("exec", (accept, reject, { command }) => begin(byLoginShell(command), "exec", { accept, reject }));
  session.on("subsystem", (accept, reject, { name }) => {
    if (name === "sftp") begin(SFTP_COMMAND, "sftp", { accept: accept as Reply["accept"], reject });
    else reject?.();
  });
}

/** As sshd does: by the shell of the user, which in most images is bash. */
function byLoginShell(command: string): string {
  const quoted = `'${command.replaceAll("'", "'\\''")}'`;
  return `[ -x /bin/bash ] && exec /bin/bash -c ${quoted}; exec /bin/sh -c ${quoted}`;
}

const textOf = (term: string) => (/^[\w.+-]{1,64}$/.test(term) ? term : "");

/** Address and ports, without that of this end. */
const shortOf = (connection: string) => {
  const [address = "", port = "", , ownPort = ""] = connection.split(" ");
  return `${address} ${port} ${ownPort}`;
};
