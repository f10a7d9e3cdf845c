/** Whether what listens in a VM answers at its URL: asked there, as anybody would. */
import type { LookupFunction } from "node:net";

const ANSWER_MS = 70_000;
/** With a reply of the gateway's own: why it could not be passed on. */
const OWN_REPLY = "mags-error";

/** `problem`: why not, for people; of the gateway, or of the way there. */
export type Answer = { readonly answers: true } | { readonly answers: false; readonly problem: string };

/** Never rejects, but with the reason of the signal. */
export async function answersAt(url: string, { signal }: { readonly signal: AbortSignal }): Promise<Answer> {
  const { protocol, hostname } = new URL(url);
  const { request } = await (protocol === "https:" ? import("node:https") : import("node:http"));
  const options = {
    ...{ agent: false, timeout: ANSWER_MS, signal, lookup: isLoopback(hostname) ? lookupLoopback : undefined },
    // Nothing is told to whoever is there but that it is asked.
    ...{ rejectUnauthorized: false, headers: { accept: "application/json", "user-agent": "mags" } },
  };
  return await new Promise<Answer>((resolve, reject) => {
    const asked = request(url, options, (reply) => {
      const own = reply.headers[OWN_REPLY];
      // Whoever has no link is not let in; that it listens is shown to those who have one.
      if (own === undefined || own === "unauthenticated") {
        reply.destroy();
        resolve({ answers: true });
        return;
      }
      let text = "";
      reply.setEncoding("utf8").on("data", (piece: string) => {
        if (text.length < 10_000) text += piece;
      });
      reply.on("close", () => resolve({ answers: false, problem: messageIn(text) ?? `${own}` }));
    });
    asked.on("timeout", () => asked.destroy(new Error(`no answer within ${ANSWER_MS / 1000} s`)));
    asked.on("error", (error) => {
      if (signal.aborted) reject(signal.reason);
      else resolve({ answers: false, problem: error.message });
    });
    asked.end();
  });
}

/** Names below `localhost` are this machine's by definition (RFC 6761), and not every resolver knows. */
const isLoopback = (hostname: string) => hostname === "localhost" || hostname.endsWith(".localhost");

const lookupLoopback: LookupFunction = (_hostname, options, done) => {
  if (options.all) done(null, [{ address: "127.0.0.1", family: 4 }]);
  else done(null, "127.0.0.1", 4);
};

function messageIn(text: string): string | undefined {
  try {
    const { error } = JSON.parse(text) as { readonly error?: unknown };
    return typeof error === "string" ? error : undefined;
  } catch {
    return undefined;
  }
}
