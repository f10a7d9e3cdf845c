/** Requests to URLs of sandboxes, whose names no resolver needs to know. */
import { once } from "node:events";
import { type ClientRequest, type IncomingMessage, type RequestOptions, request } from "node:http";
import type { LookupFunction } from "node:net";
import { WebSocket } from "ws";

const LOOPBACK = { address: "127.0.0.1", family: 4 } as const;
const lookup: LookupFunction = (_name, { all }, done) =>
  all ? done(null, [LOOPBACK]) : done(null, LOOPBACK.address, LOOPBACK.family);

export type VisitOptions = Pick<RequestOptions, "method" | "headers">;

/** Without its end: what is written to it is the body. Each has a connection of its own. */
export function ask(url: string, options: VisitOptions = {}): ClientRequest {
  return request(url, { ...options, lookup, agent: false });
}

/** @returns the answer, whose body is to be read */
export async function visit(
  url: string,
  options: VisitOptions & { readonly body?: string } = {},
): Promise<IncomingMessage> {
  const { body, ...rest } = options;
  const asked = ask(url, rest);
  asked.end(body);
  const [answer] = (await once(asked, "response")) as [IncomingMessage];
  return answer;
}

export interface Seen {
  readonly status: number;
  readonly text: string;
}

export async function see(url: string, options: VisitOptions & { readonly body?: string } = {}): Promise<Seen> {
  const answer = await visit(url, options);
  return { status: answer.statusCode ?? 0, text: (await answer.toArray()).join("") };
}

/** @throws what says why it did not open: `Unexpected server response: 401` */
export async function openSocket(url: string, headers: Readonly<Record<string, string>> = {}): Promise<WebSocket> {
  const socket = new WebSocket(new URL("/socket", url.replace("http", "ws")), { lookup, headers } as object);
  await once(socket, "open");
  return socket;
}

/** Resolves with what comes next. Listens at once. */
export async function nextMessage(socket: WebSocket): Promise<Buffer> {
  const [data] = (await once(socket, "message")) as [Buffer];
  return data;
}
