import type { NbdRequest } from "../protocol/requests.ts";
import { COMMAND, COMMAND_FLAG, type NbdErrno } from "../protocol/values.ts";
import { MAX_READ_BYTES } from "./limits.ts";
import type { NbdSession } from "./negotiation.ts";

export interface Refusal {
  readonly errno: NbdErrno;
  readonly message: string;
}

const invalid = (message: string): Refusal => ({ errno: "EINVAL", message });

/** Why a request is not even tried, or null. */
export function refusalOf(request: NbdRequest, session: NbdSession): Refusal | null {
  const { type, flags, offset, length } = request;
  switch (type) {
    case COMMAND.read:
      if ((flags & ~(session.structured ? COMMAND_FLAG.dontFragment : 0)) !== 0)
        return invalid("a flag that is not known");
      if (length > MAX_READ_BYTES) return invalid(`more than ${MAX_READ_BYTES} bytes at once`);
      break;
    case COMMAND.blockStatus:
      if (!session.allocation) return invalid("no context was negotiated");
      if ((flags & ~COMMAND_FLAG.requestOne) !== 0) return invalid("a flag that is not known");
      break;
    case COMMAND.write:
    case COMMAND.trim:
    case COMMAND.writeZeroes:
    case COMMAND.resize:
      return { errno: "EPERM", message: "the export is read-only" };
    default:
      return invalid("a request that is not known");
  }
  if (length === 0) return invalid("a length of 0");
  if (offset + length > session.source.sizeBytes) return invalid("beyond the end of the export");
  return null;
}
