/** A client that measures: one kept-alive connection, no parsing before the clock is read. */
import { Agent, type IncomingMessage, request } from "node:http";

export interface TimedJob {
  readonly id: string;
  /** Milliseconds from the submit: reply to it, first output byte, end event. */
  readonly acceptedMs: number;
  readonly firstByteMs: number;
  readonly endMs: number;
  readonly exitCode: number | null;
}

export interface BenchClient {
  /** Submits a script and follows its exact output to the end. */
  runJob(body: Readonly<Record<string, unknown>>): Promise<TimedJob>;
  /** What the node said of the start: milliseconds by stage, and where the VM came from. */
  started(
    id: string,
  ): Promise<{ readonly origin: string; readonly stages_ms: Readonly<Record<string, number>> } | undefined>;
  /** What a command printed that ran in the VM of a job. */
  exec(id: string, command: string, options?: { readonly timeoutS?: number }): Promise<string>;
  /** Sends bytes and throws unless they are taken. */
  send(method: string, path: string, body: { readonly type: string; readonly bytes: Buffer }): Promise<void>;
  /** Fetches bytes and counts them. */
  receive(path: string): Promise<number>;
  close(): void;
}

export function createBenchClient(url: string, token: string): BenchClient {
  const agent = new Agent({ keepAlive: true, maxSockets: 256 });
  const { hostname, port } = new URL(url);

  function callWith(
    method: string,
    path: string,
    { type, bytes }: { readonly type: string; readonly bytes: Buffer | string | undefined },
  ): Promise<IncomingMessage> {
    const headers = { authorization: `Bearer ${token}`, "content-type": type };
    return new Promise((resolve, reject) => {
      const outgoing = request({ agent, hostname, port, method, path: `/api/v1${path}`, headers }, resolve);
      outgoing.setNoDelay(true);
      outgoing.on("error", reject);
      outgoing.end(bytes);
    });
  }
  const call = (method: string, path: string, body?: unknown) =>
    callWith(method, path, { type: "application/json", bytes: body === undefined ? undefined : JSON.stringify(body) });

  async function json<T>(reply: IncomingMessage): Promise<T> {
    let text = "";
    for await (const piece of reply.setEncoding("utf8")) text += piece;
    return JSON.parse(text) as T;
  }

  return {
    async runJob(body) {
      const startedAt = performance.now();
      const since = () => performance.now() - startedAt;
      const accepted = await json<{ request_id: string }>(
        await call("POST", "/mags-jobs", { type: "inline", persistent: false, ...body }),
      );
      const acceptedMs = since();
      const stream = await call("GET", `/mags-jobs/${accepted.request_id}/logs?follow=1&encoding=base64`);
      let firstByteMs = Number.NaN;
      let text = "";
      for await (const piece of stream.setEncoding("utf8")) {
        text += piece;
        if (Number.isNaN(firstByteMs) && text.includes("event: log")) firstByteMs = since();
      }
      const endMs = since();
      const end = /event: end\n(?:id: .*\n)?data: (.*)\n/.exec(text)?.[1];
      const status = end === undefined ? undefined : (JSON.parse(end) as { exit_code?: number });
      return { id: accepted.request_id, acceptedMs, firstByteMs, endMs, exitCode: status?.exit_code ?? null };
    },
    async started(id) {
      interface Event {
        readonly name: string;
        readonly data: { readonly origin: string; readonly stages_ms: Readonly<Record<string, number>> };
      }
      const { events } = await json<{ events: Event[] }>(await call("GET", `/mags-jobs/${id}/events`));
      return events.find(({ name }) => name === "started")?.data;
    },
    async exec(id, command, { timeoutS: timeout } = {}) {
      const { stdout } = await json<{ stdout: string }>(
        await call("POST", `/mags-jobs/${id}/exec`, { command, timeout }),
      );
      return stdout;
    },
    async send(method, path, body) {
      const reply = await callWith(method, path, body);
      const text = JSON.stringify(await json<unknown>(reply));
      if (reply.statusCode === undefined || reply.statusCode >= 300) throw new Error(`${method} ${path}: ${text}`);
    },
    async receive(path) {
      const reply = await call("GET", path);
      if (reply.statusCode !== 200) throw new Error(`GET ${path}: ${JSON.stringify(await json<unknown>(reply))}`);
      let bytes = 0;
      for await (const piece of reply as AsyncIterable<Buffer>) bytes += piece.length;
      return bytes;
    },
    close: () => agent.destroy(),
  };
}
