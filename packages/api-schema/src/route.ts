import type { z } from "zod";

export interface RouteDefinition {
  readonly method: "GET" | "HEAD" | "POST" | "PATCH" | "PUT" | "DELETE";
  /** Below `/api/v1`; parameters as `{name}`. */
  readonly path: string;
  readonly summary: string;
  readonly description?: string;
  /** `account`: any valid token. */
  readonly auth: "account" | "none";
  readonly params?: z.ZodObject;
  readonly query?: z.ZodObject;
  readonly body?: z.ZodType;
  /** The body is no JSON but is taken as it comes, of any length: its content type. */
  readonly upload?: "multipart/form-data" | "application/octet-stream" | "application/x-tar";
  /** Content type of a reply that is no JSON, with status code and headers that the route picks. */
  readonly download?: "application/octet-stream" | "application/x-tar";
  /** Status code to schema of the JSON body; `null`: the body is not JSON, or there is none. */
  readonly responses: Readonly<Record<number, z.ZodType | null>>;
  /** The reply may be server-sent events instead, when the query asks for them. */
  readonly eventStream?: boolean;
  /** The connection becomes a WebSocket of this subprotocol. */
  readonly webSocket?: string;
  /** Statuses of error replies beyond those of `COMMON_ERRORS`. */
  readonly errors: readonly number[];
}

/** Error statuses that any route may answer: bad input, bad token, our fault, database away. */
export const COMMON_ERRORS = [400, 401, 500, 503] as const;

/** Declares a route and keeps its exact type. */
export function route<const R extends RouteDefinition>(definition: R): R {
  return definition;
}
