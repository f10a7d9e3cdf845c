/**
 * An edge's connection to the server: made, kept, and made again when it is lost. Calls that are under way when it is lost
 * fail, and so do those that are made while there is none.
 */
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { type ClientHttp2Session, connect as connectHttp2, type IncomingHttpHeaders } from "node:http2";
import { connect as connectPlain, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { AppError, isAppError, type Logger, messageOf, sleep, untilAborted, withDeadline } from "@mags/core";
import { eagerSocket } from "./eager-socket.ts";
import { decode, parseJson } from "./json.ts";
import { errorOf, Failure } from "./messages.ts";
import { createPipe, type Pipe, violation } from "./pipe.ts";
import { type CallName, FRAME, kindOf, MOST_CALLS, pathOf } from "./protocol.ts";
import {
  attend,
  type EdgePlace,
  HANDSHAKE_MS,
  IDENTITY,
  keyOf,
  type Pinging,
  SESSION,
  TLS,
  textOf,
} from "./transport.ts";

export type LinkOptions = EdgePlace & { readonly pinging: Pinging };

export interface Link extends AsyncDisposable {
  /** Why there is no connection; null: there is one. */
  readonly problem: string | null;
  /**
   * Begins a call. What follows the answer is up to the call.
   * @throws AppError what the server says; `unavailable` when there is no connection, or it is lost; the signal's reason
   */
  open(call: CallName, asked: unknown, options?: { readonly signal?: AbortSignal }): Promise<Opened>;
  /** A call that is over with its answer. @throws as `open` */
  ask(call: CallName, asked: unknown, options?: { readonly signal?: AbortSignal }): Promise<unknown>;
  /** Resolves when there is a connection. */
  connected(options: { readonly signal: AbortSignal }): Promise<void>;
}

export interface Opened {
  readonly answer: unknown;
  readonly pipe: Pipe;
}

const FIRST_PAUSE_MS = 200;
const MOST_PAUSE_MS = 5_000;
const OK = 200;

export function createLink(
  options: LinkOptions,
  { log, onProblem }: { readonly log: Logger; readonly onProblem?: (problem: string | null) => void },
): Link {
  const dial = dialerOf(options);
  /** Of this run: connections that follow each other are known to be of one edge. */
  const name = randomUUID();
  const ending = new AbortController();
  let session: ClientHttp2Session | undefined;
  let problem: string | null = "it has not been tried yet";
  let changed = Promise.withResolvers<void>();
  const calls = { ssh: 0, urls: 0, names: 0, short: 0 };

  function become(next: { readonly session?: ClientHttp2Session; readonly problem: string | null }): void {
    session = next.session;
    if (next.problem !== problem) onProblem?.(next.problem);
    problem = next.problem;
    changed.resolve();
    changed = Promise.withResolvers();
  }

  async function keep(): Promise<void> {
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, MOST_PAUSE_MS)) {
      const before = problem;
      try {
        const { session: fresh, socket } = await connect(options, { dial, ending: ending.signal });
        const closed = once(fresh, "close");
        closed.catch(() => {}); // nobody waits for it where nothing is answered
        const end = () => void socket.destroy();
        ending.signal.addEventListener("abort", end);
        try {
          ending.signal.throwIfAborted();
          await withDeadline(
            ask(fresh, "hello", { edge: name }),
            HANDSHAKE_MS,
            () => new AppError("unavailable", "it says nothing"),
          );
          become({ session: fresh, problem: null });
          log.info("upstream.connected", { place: textOf(options) });
          pauseMs = FIRST_PAUSE_MS;
          await closed;
          become({ problem: "the connection was lost" });
        } finally {
          ending.signal.removeEventListener("abort", end);
          socket.destroy();
        }
      } catch (error) {
        become({ problem: explain(error) });
      }
      if (ending.signal.aborted) return;
      if (problem !== before) log.warn("upstream.away", { place: textOf(options), error: problem });
      // Many edges do not come all at once.
      await sleep(pauseMs * (0.5 + Math.random() / 2), { signal: ending.signal });
    }
  }

  async function begin(
    over: ClientHttp2Session,
    call: CallName,
    asked: unknown,
    { signal }: { readonly signal?: AbortSignal } = {},
  ): Promise<Opened> {
    signal?.throwIfAborted();
    const kind = kindOf(call);
    if (calls[kind] >= MOST_CALLS[kind])
      throw new AppError("too_many_requests", "the server does as much at a time for one gateway as it may");
    const stream = over.request({ ":method": "POST", ":path": pathOf(call) });
    const pipe = createPipe(stream, () => new AppError("unavailable", "the connection to the server was lost"));
    calls[kind]++;
    pipe.signal.addEventListener("abort", () => calls[kind]--, { once: true });
    const replied = once(stream, "response") as Promise<[IncomingHttpHeaders]>;
    const until = signal ? AbortSignal.any([signal, pipe.signal]) : pipe.signal;
    try {
      replied.catch(() => {}); // it is waited for below
      await pipe.writeJson(FRAME.head, asked);
      const [headers] = await untilAborted(replied, until);
      const frame = await untilAborted(pipe.frame(), until);
      if (frame?.type !== FRAME.head) throw violation("an answer is missing");
      const answer = parseJson(frame.payload);
      if (Number(headers[":status"]) !== OK) throw errorOf(decode(Failure, answer));
      return { answer, pipe };
    } catch (error) {
      pipe.cut();
      throw error;
    }
  }

  async function ask(...args: Parameters<typeof begin>): Promise<unknown> {
    const { answer, pipe } = await begin(...args);
    pipe.leave();
    return answer;
  }

  /** One that is lost is there until it has closed. */
  const usable = () => (session && !session.closed && !session.destroyed ? session : undefined);

  function current(): ClientHttp2Session {
    const found = usable();
    if (!found) throw new AppError("unavailable", `the server cannot be reached: ${problem}`);
    return found;
  }

  const kept = keep().catch(() => {}); // it is ending
  return {
    get problem() {
      return problem;
    },
    open: async (...args) => begin(current(), ...args),
    ask: async (...args) => ask(current(), ...args),
    async connected({ signal }) {
      while (!usable()) await untilAborted(changed.promise, AbortSignal.any([signal, ending.signal]));
    },
    async [Symbol.asyncDispose]() {
      ending.abort(new AppError("unavailable", "the gateway is ending"));
      await kept;
    },
  };
}

/** Both ends have shown that they have the secret when it resolves. */
async function connect(
  options: LinkOptions,
  { dial, ending }: { readonly dial: () => Socket; readonly ending: AbortSignal },
): Promise<{ readonly session: ClientHttp2Session; readonly socket: Socket }> {
  const socket = dial();
  try {
    socket.setNoDelay(true);
    await once(socket, "path" in options ? "connect" : "secureConnect", {
      signal: AbortSignal.any([ending, AbortSignal.timeout(HANDSHAKE_MS)]),
    });
    const session = connectHttp2(`${"path" in options ? "http" : "https"}://${IDENTITY}`, {
      ...SESSION,
      createConnection: () => eagerSocket(socket),
    });
    session.on("error", () => {}); // its end follows
    attend(session, socket, options.pinging);
    return { session, socket };
  } catch (error) {
    socket.on("error", () => {}); // told already
    socket.destroy();
    throw error;
  }
}

/** @throws AppError `validation_failed` when the secret is none. */
function dialerOf(place: EdgePlace): () => Socket {
  if ("path" in place) return () => connectPlain(place);
  const { host, port } = place;
  const psk = keyOf(place.secret);
  return () =>
    connectTls({
      ...{ ...TLS, host, port },
      pskCallback: () => ({ psk, identity: IDENTITY }),
      checkServerIdentity: () => undefined, // it has the secret
    });
}

function explain(error: unknown): string {
  if (isAppError(error)) return error.message;
  const { name, code = "" } = error as NodeJS.ErrnoException;
  if (name === "AbortError") return "it does not answer";
  return code.startsWith("ERR_SSL") || code === "EPROTO"
    ? `it has another secret, or is no server of Mags (${code})`
    : messageOf(error);
}
