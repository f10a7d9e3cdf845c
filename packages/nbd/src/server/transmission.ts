/**
 * Answers the requests of one client. They are read one after the other and answered in any order, as their reads end.
 * When too much is under way the connection is not read from: its client waits, and nobody else does.
 */
import { type Logger, messageOf, untilAborted } from "@mags/core";
import { decodeRequest, type NbdRequest, REQUEST_BYTES } from "../protocol/requests.ts";
import { COMMAND, COMMAND_FLAG } from "../protocol/values.ts";
import { blockStatus, checkPieces, failure, simpleRead, structuredRead } from "./answers.ts";
import { NotNow } from "./export.ts";
import { MAX_EXTENTS, type NbdServerLimits } from "./limits.ts";
import type { NbdSession } from "./negotiation.ts";
import type { Peer } from "./peer.ts";
import { createPending } from "./pending.ts";
import { refusalOf } from "./refusal.ts";

/** What was done for one client. */
export interface Served {
  requests: number;
  readBytes: number;
  /** Requests that were answered with an error. */
  failed: number;
}

const OVERHEAD_BYTES = 512;
/** What an extent takes in memory until it is sent. */
const EXTENT_BYTES = 128;

const mostExtentsOf = ({ flags }: NbdRequest): number => (flags & COMMAND_FLAG.requestOne ? 1 : MAX_EXTENTS);

function costOf(request: NbdRequest): number {
  const { type, length } = request;
  if (type === COMMAND.read) return OVERHEAD_BYTES + length;
  return OVERHEAD_BYTES + (type === COMMAND.blockStatus ? EXTENT_BYTES * mostExtentsOf(request) : 0);
}

/** Resolves when the client has said that it leaves and has all its answers. @throws ProtocolFault, or what ended the connection. */
export async function serveRequests(
  peer: Peer,
  session: NbdSession,
  context: { readonly limits: NbdServerLimits; readonly log: Logger; readonly served: Served },
): Promise<void> {
  const { limits, log, served } = context;
  const { source, structured } = session;
  const pending = createPending(limits);
  const signal = peer.gone;

  async function work(request: NbdRequest): Promise<Buffer[]> {
    const { cookie, offset, length, flags } = request;
    if (request.type === COMMAND.blockStatus) {
      const mostExtents = mostExtentsOf(request);
      const telling = Promise.resolve(source.extents(offset, length, { mostExtents, signal }));
      return blockStatus(cookie, await untilAborted(telling, signal), { length, mostExtents });
    }
    const pieces = checkPieces(await untilAborted(source.read(offset, length, { signal }), signal), length);
    served.readBytes += length;
    if (!structured) return simpleRead(cookie, pieces);
    return structuredRead(cookie, { offset, pieces }, { fragments: (flags & COMMAND_FLAG.dontFragment) === 0 });
  }

  async function answer(request: NbdRequest): Promise<void> {
    const refusal = refusalOf(request, session);
    if (refusal) return peer.send(failure(request.cookie, refusal, { structured }));
    try {
      const reply = await work(request);
      return await peer.send(reply);
    } catch (error) {
      if (signal.aborted) return;
      // The first is told at once; how many there were, at the end of the connection.
      if (served.failed++ === 0) {
        const { offset, length } = request;
        log.warn("nbd.request_failed", { export: session.name, offset, length, error: messageOf(error) });
      }
      const errno = error instanceof NotNow ? "ENOSPC" : "EIO";
      const told = { errno, message: "it could not be read" } as const;
      await peer.send(failure(request.cookie, told, { structured }));
    }
  }

  for (;;) {
    const request = decodeRequest(await peer.reader.take(REQUEST_BYTES));
    if (request.type === COMMAND.disconnect) break;
    if (request.type === COMMAND.write) await peer.reader.skip(request.length);
    served.requests++;
    const cost = refusalOf(request, session) ? OVERHEAD_BYTES : costOf(request);
    const leave = await pending.enter(cost, { signal });
    void answer(request).finally(leave);
  }
  await pending.idle({ signal });
}
