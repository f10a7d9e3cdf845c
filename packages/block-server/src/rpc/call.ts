/** One call to the block server: JSON over HTTP on a unix socket that only root can open. */
import { request } from "node:http";
import { AppError, ERROR_STATUS, type ErrorCode, isAppError } from "@mags/core";
import type { CallName, ParamsOf, ResultOf } from "../calls.ts";

const MAX_REPLY_BYTES = 64 << 20;

/**
 * @throws what the server threw; AppError `unavailable` when it is not there or ends meanwhile, which `isGone` tells;
 *   `internal` when it answers more than 64 MiB.
 */
export function call<Name extends CallName>(
  socket: string,
  name: Name,
  params: ParamsOf<Name>,
  { signal }: { readonly signal: AbortSignal },
): Promise<ResultOf<Name>> {
  return new Promise((resolve, reject) => {
    const gone = (cause: Error) => reject(signal.aborted ? signal.reason : goneError(cause));
    const outgoing = request({ socketPath: socket, method: "POST", path: `/${name}`, signal }, (reply) => {
      const pieces: Buffer[] = [];
      let held = 0;
      reply.on("data", (piece: Buffer) => {
        held += piece.length;
        if (held <= MAX_REPLY_BYTES) pieces.push(piece);
        else {
          // It did not go away: it would answer the same again.
          reject(new AppError("internal", `what the block server answers to ${name} is too long`));
          outgoing.destroy();
        }
      });
      reply.on("error", gone);
      reply.on("end", () => {
        const body = JSON.parse(Buffer.concat(pieces).toString()) as Reply<ResultOf<Name>>;
        if ("error" in body) reject(fromWire(body.error));
        else resolve(body.result);
      });
    });
    outgoing.on("error", gone);
    outgoing.end(JSON.stringify(params));
  });
}

type Reply<T> = { readonly result: T } | { readonly error: { readonly code: string; readonly message: string } };

function goneError(cause: Error): AppError {
  const message = "the block server of this node went away";
  return new AppError("unavailable", message, { cause, details: { gone: true } });
}

/** Nobody answered, or not to the end: what was asked for may have been done, in part or not. */
export function isGone(error: unknown): boolean {
  return isAppError(error, "unavailable") && error.details.gone === true;
}

function fromWire({ code, message }: { readonly code: string; readonly message: string }): AppError {
  return new AppError(Object.hasOwn(ERROR_STATUS, code) ? (code as ErrorCode) : "internal", message);
}
