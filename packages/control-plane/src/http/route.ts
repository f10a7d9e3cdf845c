import type { IncomingHttpHeaders } from "node:http";
import type { RouteDefinition } from "@mags/api-schema";
import type { z } from "zod";
import type { Account } from "../app/account-store.ts";
import type { ArrivalAddress } from "../app/server-name.ts";
import type { Streamed } from "./streamed.ts";
import type { Upload } from "./upload.ts";
import type { Conversation } from "./web-socket.ts";

type Parsed<S> = S extends z.ZodType ? z.infer<S> : undefined;
type Sent<S> = S extends z.ZodType ? z.input<S> : never;

/** What a handler gets: everything is parsed and of the account of the token. */
export interface RouteInput<R extends RouteDefinition> {
  readonly params: Parsed<R["params"]>;
  readonly query: Parsed<R["query"]>;
  readonly body: Parsed<R["body"]>;
  /** Of a route that takes one. */
  readonly upload: R["upload"] extends string ? Upload : undefined;
  /** The query as it came, for what must not be read as text. */
  readonly rawQuery: string;
  readonly account: Account;
  readonly headers: IncomingHttpHeaders;
  /** Numeric: of the client, or of the proxy in front of the server. */
  readonly clientAddress: string;
  /** Where the request came to: here, or the proxy's way here. */
  readonly arrival: ArrivalAddress;
  /** Aborts when the client is gone or the server shuts down. */
  readonly signal: AbortSignal;
  /** Monotonic time at which the request came in, milliseconds. */
  readonly receivedMs: number;
}

/** The body of the one success status of the route, or a stream or conversation that stands for it. */
export type RouteReply<R extends RouteDefinition> =
  | Sent<R["responses"][keyof R["responses"]]>
  | Streamed
  | Conversation;

/** A route and what answers it. */
export interface BoundRoute {
  readonly definition: RouteDefinition;
  /** The input was parsed with the definition's schemas. */
  readonly handler: (input: RouteInput<RouteDefinition>) => Promise<unknown>;
}

export function bind<R extends RouteDefinition>(
  definition: R,
  handler: (input: RouteInput<R>) => Promise<RouteReply<R>>,
): BoundRoute {
  // The server parses requests with the very schemas of `definition`, so the input has the handler's type.
  return { definition, handler: handler as BoundRoute["handler"] };
}
