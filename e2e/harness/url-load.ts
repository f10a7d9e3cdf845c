/** Clients that ask for a URL all the time, while something happens to who serves it. */
import { Agent, get } from "node:http";
import { sleep } from "@mags/core";
import { waitFor } from "@mags/test-kit";

export interface Seen {
  readonly atMs: number;
  /** Null: the connection was closed, or there was none. */
  readonly status: number | null;
  readonly text: string;
}

export interface UnderLoad {
  readonly seen: readonly Seen[];
  /** From the beginning of what happened to the last request that was not answered by the VM; what failed by itself, too. */
  readonly awayMs: number;
}

const CLIENTS = 8;
const PAUSE_MS = 5;

/** One request. A name below localhost leads to this machine also where the host does not know that. */
export async function askUrl(url: URL, agent?: Agent): Promise<Seen> {
  const atMs = performance.now();
  const options = { host: "127.0.0.1", port: url.port, path: "/", headers: { host: url.host }, timeout: 30_000 };
  return new Promise((resolve, reject) => {
    let text = "";
    const fail = () => resolve({ atMs, status: null, text });
    const asked = get({ ...options, ...(agent && { agent }) }, (answer) => {
      answer.setEncoding("utf8").on("data", (piece: string) => {
        text += piece;
      });
      answer.on("error", fail).on("end", () => resolve({ atMs, status: answer.statusCode ?? null, text }));
    });
    asked.on("timeout", () => reject(new Error("a request was neither answered nor refused for 30 s")));
    asked.on("error", fail);
  });
}

/** Many clients ask from before it until they have been answered after it, having failed in between. */
export async function underLoad(url: URL, act: () => Promise<void>): Promise<UnderLoad> {
  const agent = new Agent({ keepAlive: true });
  const seen: Seen[] = [];
  let isOver = false;
  const clients = Array.from({ length: CLIENTS }, async () => {
    while (!isOver) {
      const one = await askUrl(url, agent);
      seen.push(one);
      if (one.status !== 200) await sleep(PAUSE_MS);
    }
  });
  try {
    await waitFor(() => seen.length > 100, { what: "load", deadlineMs: 60_000 });
    const beganMs = performance.now();
    await act();
    const failures = () => seen.filter(({ status }) => status !== 200);
    const back = () =>
      seen.filter(({ atMs, status }) => status === 200 && atMs > (failures().at(-1)?.atMs ?? Infinity));
    await waitFor(() => back().length > 100, { what: "answers", deadlineMs: 60_000, intervalMs: 10 });
    return { seen, awayMs: Math.max(...failures().map(({ atMs }) => atMs)) - beganMs };
  } finally {
    isOver = true;
    await Promise.all(clients);
    agent.destroy();
  }
}
