import type { ServerResponse } from "node:http";
import type { Encoding, ScriptedJob } from "./scripted-job.ts";

/** Sends the entries of a job as an event stream until it ends or, mercilessly, until a number of bytes is sent. */
export function streamLogs(
  reply: ServerResponse,
  job: ScriptedJob,
  encoding: Encoding,
  options: { readonly after: number; readonly cutAfter: number | undefined },
): void {
  let room = options.cutAfter ?? Number.POSITIVE_INFINITY;
  let finished = false;
  job.sent = options.after;

  function write(text: string): void {
    const bytes = Buffer.from(text);
    const last = bytes.length >= room;
    reply.write(bytes.subarray(0, room), () => last && reply.destroy());
    room -= bytes.length;
  }

  function advance(): void {
    while (room > 0 && !reply.writableNeedDrain && !reply.destroyed && !finished) {
      const [entry] = job.entries(encoding, job.sent, job.sent + 1);
      if (entry !== undefined) {
        write(`id: ${++job.sent}\nevent: log\ndata: ${JSON.stringify(entry)}\n\n`);
      } else if (job.over) {
        finished = true;
        write(`event: end\ndata: ${JSON.stringify(job.status)}\n\n`);
        if (room > 0) reply.end();
      } else break;
    }
  }

  reply.writeHead(200, { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store" });
  reply.flushHeaders();
  write(": hello\n\n");
  job.on("change", advance);
  reply.on("drain", advance);
  reply.on("close", () => job.off("change", advance));
  advance();
}
