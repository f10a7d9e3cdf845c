import type { Secret } from "@mags/core";
import { type ClientConfig, types } from "pg";

/** Where the database is: the socket directory of the embedded server, or the URL of any other. */
export type DatabaseAddress =
  | { readonly host: string; readonly user: string; readonly database: string }
  | { readonly url: Secret };

const INT8 = 20;
const CONNECT_TIMEOUT_MS = 5_000;
/** The server gives up a statement first; the client's own limit is for a server that does not answer at all. */
const STATEMENT_TIMEOUT_MS = 20_000;
const ANSWER_TIMEOUT_MS = 30_000;

export function clientConfig(address: DatabaseAddress): ClientConfig {
  return {
    ...("url" in address ? { connectionString: address.url.reveal() } : address),
    application_name: "magsd",
    keepAlive: true,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    query_timeout: ANSWER_TIMEOUT_MS,
    types: {
      // Ours stay below 2^53: sequence numbers and milliseconds.
      getTypeParser: (oid: number, format?: "text" | "binary") =>
        oid === INT8 && format !== "binary" ? Number : types.getTypeParser(oid, format as "text"),
    },
  };
}
