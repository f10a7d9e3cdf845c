import http, { type Agent, type IncomingMessage } from "node:http";
import packageJson from "../../package.json" with { type: "json" };
import { clientError, type MagsError } from "./errors.ts";
import { codeOf, networkError } from "./network-error.ts";
import { replyError } from "./reply-error.ts";
import { sendBody, type UploadBody, uploadHeaders } from "./upload-body.ts";

export interface ApiRequest {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Below `/api/v1`, its parts percent-encoded. */
  readonly path: string;
  /** Entries that are undefined are left out. */
  readonly query?: Readonly<Record<string, string | number | Uint8Array | undefined>>;
  readonly body?: unknown;
  /** A body that is no JSON; it can be sent once. */
  readonly upload?: UploadBody | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  /** How long nothing may arrive. Default: that of the transport. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface Transport {
  readonly apiUrl: string;
  /** Of every request; the token is among them. */
  readonly headers: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  /**
   * Sends a request and reads its JSON reply; an empty one counts as `{}`.
   * @throws MagsError; the signal's reason when aborted.
   */
  json<Reply>(request: ApiRequest): Promise<Reply>;
  /** Sends a request and gives the reply unread, without a time limit for its body. The caller must read or destroy it. */
  open(request: ApiRequest): Promise<IncomingMessage>;
}

export interface TransportOptions {
  readonly apiUrl: string;
  readonly apiToken: string;
  readonly timeoutMs: number;
}

/** HTTP requests over kept connections. `node:http`, because loading `fetch` costs a program 30 ms of its start. */
export function createTransport({ apiUrl, apiToken, timeoutMs }: TransportOptions): Transport {
  const secure = apiUrl.startsWith("https:");
  const headers = {
    authorization: `Bearer ${apiToken}`,
    accept: "application/json",
    "user-agent": `mags-node/${packageJson.version}`,
  };
  let agent: Agent | undefined;

  async function send(request: ApiRequest): Promise<IncomingMessage> {
    const { Agent, request: open } = secure ? (await import("node:https")).default : http;
    agent ??= new Agent({ keepAlive: true });
    const keptAgent = agent;
    const body = request.body === undefined ? undefined : Buffer.from(JSON.stringify(request.body));
    const limitMs = request.timeoutMs ?? timeoutMs;
    return await new Promise((resolve, reject) => {
      const outgoing = open(new URL(`${apiUrl}/api/v1${request.path}${queryString(request.query)}`), {
        method: request.method,
        agent: keptAgent,
        timeout: limitMs,
        headers: {
          ...headers,
          ...(body && bodyHeaders(body)),
          ...(request.upload && uploadHeaders(request.upload)),
          ...request.headers,
        },
        ...(request.signal && { signal: request.signal }),
      });
      let pending: Destroyable = outgoing;
      outgoing.on("timeout", () =>
        pending.destroy(clientError("timeout", `${apiUrl} did not answer within ${limitMs / 1000} s`)),
      );
      outgoing.on("response", (reply) => {
        pending = reply;
        // An answer before the end of the request: the connection cannot be used again.
        if (!outgoing.writableEnded) reply.once("close", () => outgoing.destroy());
        resolve(reply);
      });
      outgoing.on("error", (error) => {
        // The server closed a kept connection while the request was on its way; one that only reads may be repeated.
        if (outgoing.reusedSocket && codeOf(error) === "ECONNRESET" && request.method === "GET")
          send(request).then(resolve, reject);
        else reject(failure(error, request));
      });
      if (!request.upload) {
        outgoing.end(body);
        return;
      }
      sendBody(outgoing, request.upload).catch((error: unknown) => {
        // It could not be read: what the server makes of half of it does not matter.
        reject(error);
        outgoing.destroy();
      });
    });
  }

  function failure(error: unknown, { signal }: ApiRequest): unknown {
    if (signal?.aborted) return signal.reason;
    return codeOf(error) === "timeout" ? error : networkError(error, apiUrl);
  }

  async function readText(reply: IncomingMessage, request: ApiRequest): Promise<string> {
    try {
      const chunks: Uint8Array[] = [];
      for await (const chunk of reply) chunks.push(chunk as Uint8Array);
      return Buffer.concat(chunks).toString("utf8");
    } catch (error) {
      throw failure(error, request);
    }
  }

  async function open(request: ApiRequest): Promise<IncomingMessage> {
    const reply = await send(request);
    const statusCode = reply.statusCode ?? 0;
    if (statusCode >= 200 && statusCode < 300) return reply;
    const { location, "retry-after": retryAfter } = reply.headers;
    const text = await readText(reply, request);
    throw statusCode < 400 && location !== undefined
      ? redirected(apiUrl, location)
      : replyError({ statusCode, text, retryAfter }, apiUrl);
  }

  return {
    apiUrl,
    headers,
    timeoutMs,
    async json<Reply>(request: ApiRequest) {
      const text = await readText(await open(request), request);
      try {
        return JSON.parse(text === "" ? "{}" : text) as Reply;
      } catch (error) {
        throw clientError("unexpected_reply", `the answer of ${apiUrl} is not that of a Mags server`, error);
      }
    },
    async open(request) {
      const reply = await open(request);
      reply.socket.setTimeout(0);
      return reply;
    },
  };
}

interface Destroyable {
  destroy(error: Error): unknown;
}

function bodyHeaders(body: Buffer): Record<string, string | number> {
  return { "content-type": "application/json", "content-length": body.length };
}

function queryString(query: ApiRequest["query"] = {}): string {
  const entries = Object.entries(query).flatMap(([key, value]) =>
    value === undefined
      ? []
      : [`${key}=${typeof value === "object" ? percentEncoded(value) : encodeURIComponent(value)}`],
  );
  return entries.length === 0 ? "" : `?${entries.join("&")}`;
}

function percentEncoded(bytes: Uint8Array): string {
  return Buffer.from(bytes)
    .toString("latin1")
    .replace(/[^A-Za-z0-9._~/-]/g, (character) => `%${character.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

/** Redirects are not followed: the token belongs to the configured server only. */
function redirected(apiUrl: string, location: string): MagsError {
  return clientError("unexpected_reply", `${apiUrl} redirects to ${location}: give that address instead`);
}
