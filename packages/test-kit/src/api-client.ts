import WebSocket from "ws";
import { parseEventStream, type StreamEvent } from "./event-stream.ts";

export interface ApiReply {
  readonly status: number;
  readonly headers: Headers;
  /** Parsed JSON, `undefined` when the body was empty. */
  readonly body: unknown;
}

export interface ConnectOptions extends CallOptions {
  readonly protocol?: string;
  /** Given the socket before anything can come over it. */
  readonly prepare?: (socket: WebSocket) => void;
}

export interface SocketReply {
  readonly status: number;
  /** Of a refusal. */
  readonly body: unknown;
  readonly socket: WebSocket;
}

export interface CallOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** A plain client of the HTTP API, with nothing in it that could repair what the server does wrong. */
export interface ApiClient {
  call(method: string, path: string, body?: unknown, options?: CallOptions): Promise<ApiReply>;
  /** Asks for a WebSocket. Status 101: it is open. */
  connect(path: string, options?: ConnectOptions): Promise<SocketReply>;
  /** Server-sent events. Ending the iteration closes the connection. */
  events(path: string, options?: CallOptions): AsyncGenerator<StreamEvent>;
}

export function createApiClient(baseUrl: string, token?: string): ApiClient {
  const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` };

  return {
    async call(method, path, body, options = {}) {
      const response = await fetch(baseUrl + path, {
        method,
        headers: {
          ...authorization,
          ...(body !== undefined && { "content-type": "application/json" }),
          ...options.headers,
        },
        ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
        ...(options.signal && { signal: options.signal }),
      });
      const text = await response.text();
      return { status: response.status, headers: response.headers, body: text === "" ? undefined : parseJson(text) };
    },

    connect: (path, options = {}) =>
      new Promise((resolve, reject) => {
        const socket = new WebSocket(baseUrl.replace("http", "ws") + path, options.protocol ?? [], {
          headers: { ...authorization, ...options.headers },
        });
        options.prepare?.(socket);
        socket.on("error", reject);
        socket.on("open", () => resolve({ status: 101, body: undefined, socket }));
        socket.on("unexpected-response", (_request, response) => {
          const chunks: Buffer[] = [];
          response.on("data", (chunk: Buffer) => chunks.push(chunk));
          response.on("end", () => {
            const text = Buffer.concat(chunks).toString();
            resolve({ status: response.statusCode ?? 0, body: text === "" ? undefined : parseJson(text), socket });
          });
        });
      }),

    async *events(path, options = {}) {
      const closing = new AbortController();
      const signal = options.signal ? AbortSignal.any([closing.signal, options.signal]) : closing.signal;
      const response = await fetch(baseUrl + path, { headers: { ...authorization, ...options.headers }, signal });
      if (response.status !== 200 || response.body === null)
        throw new Error(`${path} answered ${response.status}: ${await response.text()}`);
      try {
        yield* parseEventStream(response.body);
      } finally {
        closing.abort();
      }
    },
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
