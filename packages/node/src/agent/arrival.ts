/** What a `listen` stream tells of a connection that came in: one a record. */
import type { Arrival } from "@mags/domain";
import { readFields, required } from "./fields.ts";
import { readText } from "./guest-error.ts";
import { TAG } from "./wire.ts";

/** @throws ProtocolViolation */
export function readArrival(record: Buffer): Arrival {
  const fields = readFields(record);
  const connection = required(fields.u32(TAG.connection), "CONNECTION");
  const address = fields.bytes(TAG.address);
  const port = fields.u16(TAG.port);
  return {
    connection,
    peer: address === undefined || port === undefined ? null : { address: readText(address), port },
  };
}
