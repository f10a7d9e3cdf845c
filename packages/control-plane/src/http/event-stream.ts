/** Server-sent events as the HTML standard defines them (section 9.2). */
export const EVENT_STREAM = "text/event-stream";

const HEARTBEAT = ":\n\n";

/** One event; `data` is sent as JSON, which has no newlines of its own. */
export function eventText(event: { readonly event: string; readonly id?: string; readonly data: unknown }): string {
  const id = event.id === undefined ? "" : `id: ${event.id}\n`;
  return `${id}event: ${event.event}\ndata: ${JSON.stringify(event.data)}\n\n`;
}

/** Puts a comment where nothing came for `idleMs`, so that neither end nor anything between believes the other gone. */
export async function* withHeartbeat(source: AsyncGenerator<string>, idleMs: number): AsyncGenerator<string> {
  try {
    let next = source.next();
    for (;;) {
      const result = await orIdle(next, idleMs);
      if (result === "idle") {
        yield HEARTBEAT;
        continue;
      }
      if (result.done) return;
      yield result.value;
      next = source.next();
    }
  } finally {
    await source.return(undefined);
  }
}

async function orIdle<T>(promise: Promise<T>, idleMs: number): Promise<T | "idle"> {
  const idle = Promise.withResolvers<"idle">();
  const timer = setTimeout(idle.resolve, idleMs, "idle");
  try {
    return await Promise.race([promise, idle.promise]);
  } finally {
    clearTimeout(timer);
  }
}
