/** One session of a client: a shell, a command or a subsystem, with what is asked for before it and beside it. */
import { randomUUID } from "node:crypto";
import { constants } from "node:os";
import { messageOf } from "@mags/core";
import type { AccountId, ExecAttachment, ExecId, ExecRuntime, ExecStart, GuestId } from "@mags/domain";
import type { ServerChannel, Session } from "ssh2";
import { carry, fail } from "./command-channel.ts";
import type { OutputRoom } from "./output-room.ts";

export type SessionKind = "shell" | "exec" | "sftp";

export interface SessionDeps {
  readonly node: ExecRuntime;
  readonly accountId: AccountId;
  /** @throws AppError when there is none. */
  readonly guest: () => Promise<GuestId>;
  readonly room: OutputRoom;
  /** What the client and this end of its connection are called, as sshd tells programs. */
  readonly connection: string;
  readonly onChannel: (channel: ServerChannel) => void;
  /** Aborted when the server ends, while something can still be said. */
  readonly parting: AbortSignal;
  readonly track: (session: Promise<void>) => void;
  readonly onBegin: (kind: SessionKind) => void;
  /** The modes of a `pty-req` that was just read. */
  readonly takeModes: () => Buffer | undefined;
}

const MOST_VARIABLES = 100;
const MOST_VARIABLE_BYTES = 32 * 1024;
const NAME = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/;
const DEFAULT_SIZE = { rows: 24, cols: 80 };
const MOST_ROWS = 65_535;
/** Where distributions have it. */
const SFTP_SERVERS = ["/usr/lib/openssh/sftp-server", "/usr/lib/ssh/sftp-server", "/usr/libexec/openssh/sftp-server"];
const SFTP_COMMAND = `for p in ${SFTP_SERVERS.join(" ")}; do [ -x "$p" ] && exec "$p"; done; echo 'the image has no sftp-server: install openssh-sftp-server, or use scp -O' >&2; exit 127`;

export function serveSession(session: Session, deps: SessionDeps): void {
  const environment: Record<string, string> = {};
  let terminal: NonNullable<ExecStart["terminal"]> | null = null;
  let attachment: ExecAttachment | undefined;
  let begun = false;

  function begin(command: string | null, accept: () => ServerChannel, kind: SessionKind): void {
    begun = true;
    const channel = accept();
    // It may leave while its command is being started.
    const gone = new Promise<void>((resolve) => channel.once("close", () => resolve()));
    const part = () => fail(channel, "the server is ending", { terminal: terminal !== null });
    deps.parting.addEventListener("abort", part);
    void gone.then(() => deps.parting.removeEventListener("abort", part));
    deps.onChannel(channel);
    deps.onBegin(kind);
    const start = async () => {
      const execId = randomUUID() as ExecId; // a fresh one
      attachment = await deps.node.startExec({
        execId,
        guest: await deps.guest(),
        accountId: deps.accountId,
        command,
        terminal,
        stdin: true,
        environment: { SSH_CLIENT: shortOf(deps.connection), SSH_CONNECTION: deps.connection, ...environment },
        cwd: null,
        timeoutMs: null,
        leavesGroup: true,
        endsWithClient: true,
      });
      await carry(channel, attachment, { room: deps.room, terminal: terminal !== null, gone });
    };
    deps.track(start().catch((error: unknown) => fail(channel, messageOf(error), { terminal: terminal !== null })));
  }

  session.on("pty", (accept, reject, info) => {
    if (begun) return reject?.();
    terminal = { ...sizeOf(info), term: textOf(info.term) || "xterm", modes: deps.takeModes() ?? null };
    accept?.();
  });
  session.on("env", (accept, reject, { key, val }) => {
    const bytes = Object.entries(environment).reduce((sum, [name, value]) => sum + name.length + value.length, 0);
    const fits = Object.keys(environment).length < MOST_VARIABLES && bytes + val.length < MOST_VARIABLE_BYTES;
    if (begun || !fits || !NAME.test(key) || val.includes("\0")) return reject?.();
    environment[key] = val;
    accept?.();
  });
  session.on("window-change", (accept, _reject, info) => {
    attachment?.resize(sizeOf(info));
    accept?.();
  });
  session.on("signal", (accept, reject, { name }) => {
    const signo = constants.signals[`SIG${name}` as NodeJS.Signals];
    if (signo === undefined || !attachment) return reject?.();
    attachment.signal(signo);
    accept?.();
  });
  session.on("shell", (accept) => begin(null, accept, "shell"));
  session.on("exec", (accept, _reject, { command }) => begin(byLoginShell(command), accept, "exec"));
  session.on("subsystem", (accept, reject, { name }) => {
    if (name === "sftp") begin(SFTP_COMMAND, accept as () => ServerChannel, "sftp");
    else reject?.();
  });
}

/** As sshd does: by the shell of the user, which in most images is bash. */
function byLoginShell(command: string): string {
  const quoted = `'${command.replaceAll("'", "'\\''")}'`;
  return `[ -x /bin/bash ] && exec /bin/bash -c ${quoted}; exec /bin/sh -c ${quoted}`;
}

/** Zero is not known. */
function sizeOf({ rows, cols }: { readonly rows: number; readonly cols: number }) {
  return {
    rows: Math.min(rows || DEFAULT_SIZE.rows, MOST_ROWS),
    cols: Math.min(cols || DEFAULT_SIZE.cols, MOST_ROWS),
  };
}

const textOf = (term: string) => (/^[\w.+-]{1,64}$/.test(term) ? term : "");

/** Address and ports, without that of this end. */
const shortOf = (connection: string) => {
  const [address = "", port = "", , ownPort = ""] = connection.split(" ");
  return `${address} ${port} ${ownPort}`;
};
