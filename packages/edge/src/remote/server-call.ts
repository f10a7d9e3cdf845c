/** One call of an edge, at the server: what is asked is found, done, and answered. */
import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { AppError, isAppError, type Logger, messageOf } from "@mags/core";
import type { EdgeUpstream } from "../upstream.ts";
import type { DoubtfulAccesses } from "./doubtful-accesses.ts";
import type { EdgeState } from "./edge-state.ts";
import { parseJson } from "./json.ts";
import type { OpenConnections } from "./open-connections.ts";
import { createPipe, type Pipe, violation } from "./pipe.ts";
import { CALLS, type CallName, FRAME, PROTOCOL_VERSION } from "./protocol.ts";
import { serveAccesses } from "./serve-accesses.ts";
import { serveFind, serveGuest, serveHello, serveHostKey, serveNotes, servePorts } from "./serve-directory.ts";
import { serveEnds } from "./serve-ends.ts";
import { serveExec } from "./serve-exec.ts";
import { serveAccept, serveConnect, serveListen, serveVisit } from "./serve-sockets.ts";
import { serveCertificate, serveChallenge, serveRoute } from "./serve-urls.ts";
import type { Taken } from "./taken.ts";
import type { Tickets } from "./tickets.ts";

export interface ServerCall {
  /** JSON. */
  readonly asked: unknown;
  readonly pipe: Pipe;
  readonly edge: EdgeState;
  readonly upstream: EdgeUpstream;
  /** Of the server, for all its edges. */
  readonly tickets: Tickets;
  /** Of the server, for all its edges. */
  readonly open: OpenConnections;
  /** Of the server, for all its edges. */
  readonly taken: Taken;
  /** Of the server, for all its edges. */
  readonly doubtful: DoubtfulAccesses;
  /** The edge has said which run of it this is. */
  readonly onHello: (name: string) => void;
  /** Aborted when the edge has left the call, or the server ends. */
  readonly signal: AbortSignal;
  /** Aborted when the server ends. */
  readonly ending: AbortSignal;
  /** JSON; what follows is up to the call. Called once. */
  answer(result: unknown): Promise<void>;
}

export type ServerCallDeps = Omit<ServerCall, "asked" | "pipe" | "signal" | "answer"> & { readonly log: Logger };

const HANDLERS: Readonly<Record<CallName, (call: ServerCall) => Promise<void>>> = {
  hello: serveHello,
  host_key: serveHostKey,
  find: serveFind,
  guest: serveGuest,
  note: serveNotes,
  ports: servePorts,
  ends: serveEnds,
  exec: serveExec,
  connect: serveConnect,
  listen: serveListen,
  accept: serveAccept,
  route: serveRoute,
  visit: serveVisit,
  access: serveAccesses,
  certificate: serveCertificate,
  challenge: serveChallenge,
};

const HEAD_MS = 10_000;

/** Resolves when nothing of it is left to be done. Never rejects. */
export async function serveCall(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  deps: ServerCallDeps,
): Promise<void> {
  const { log, ...given } = deps;
  const { ending } = given;
  const pipe = createPipe(stream, () => new AppError("unavailable", "the edge has left"));
  const signal = AbortSignal.any([pipe.signal, ending]);
  let isAnswered = false;
  try {
    const handler = HANDLERS[nameOf(String(headers[":path"]))];
    const asked = await askedOf(pipe);
    ending.throwIfAborted();
    const answer = async (result: unknown) => {
      isAnswered = true;
      stream.respond({ ":status": 200 });
      await pipe.writeJson(FRAME.head, result);
    };
    await handler({ ...given, asked, pipe, signal, answer });
    pipe.leave();
  } catch (error) {
    if (pipe.signal.aborted) return;
    if (!isAppError(error)) log.error("edge.call_failed", { path: headers[":path"], error: messageOf(error) });
    if (isAnswered) return pipe.cut();
    const failure = isAppError(error) ? error : new AppError("internal", "something went wrong at the server");
    stream.respond({ ":status": failure.status });
    await pipe.writeJson(FRAME.head, { code: failure.code, message: failure.message }).catch(() => {}); // it has left
    pipe.leave();
  }
}

function nameOf(path: string): CallName {
  const [, version, name] = /^\/edge\/([0-9]+)\/([a-z_]+)$/.exec(path) ?? [];
  if (version !== undefined && Number(version) !== PROTOCOL_VERSION)
    throw new AppError(
      "not_supported",
      `the server speaks version ${PROTOCOL_VERSION} of the edge protocol, the edge version ${version}: install the same version of Mags on both`,
    );
  const found = CALLS.find((call) => call === name);
  if (!found) throw new AppError("route_not_found", "the edge protocol has no such call");
  return found;
}

async function askedOf(pipe: Pipe): Promise<unknown> {
  const late = setTimeout(() => pipe.cut(), HEAD_MS);
  try {
    const frame = await pipe.frame();
    if (frame?.type !== FRAME.head) throw violation("a call begins with what is asked");
    return parseJson(frame.payload);
  } finally {
    clearTimeout(late);
  }
}
