import { AppError } from "@mags/core";
import { ERRNO, type NbdErrno } from "./protocol/values.ts";

const NAMES = new Map(Object.entries(ERRNO).map(([name, number]) => [number as number, name as NbdErrno]));
const MAX_MESSAGE = 200;

/** The server's answer to a request was an error. The connection goes on. */
export class NbdError extends AppError {
  /** Numbers that the protocol does not know count as EINVAL, as it says. */
  readonly errno: NbdErrno;

  constructor(what: string, error: { readonly number: number; readonly message: string }) {
    const errno = NAMES.get(error.number) ?? "EINVAL";
    // The server may be hostile: nothing that acts on a terminal.
    const text = error.message.slice(0, MAX_MESSAGE).replaceAll(/[^\x20-\x7e]/g, "?");
    super("internal", `${what}: ${errno}${text && `, ${text}`}`, { details: { errno: error.number } });
    this.errno = errno;
  }
}
