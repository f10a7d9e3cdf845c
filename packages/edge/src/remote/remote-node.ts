/** Commands and sockets of guests, as an edge has them. */
import { AppError } from "@mags/core";
import type { GuestListener } from "@mags/domain";
import { z } from "zod";
import type { EdgeNode } from "../upstream.ts";
import { decode, parseJson } from "./json.ts";
import type { Link } from "./link.ts";
import { ArrivalWire, AtGuest, Attached, Exec, Listen, Listening } from "./messages.ts";
import { type Pipe, violation } from "./pipe.ts";
import { FRAME } from "./protocol.ts";
import { createRemoteAttachment } from "./remote-attachment.ts";
import { socketOver } from "./socket-over-pipe.ts";

export function createRemoteNode(link: Link): EdgeNode {
  return {
    async startExec(start) {
      if (!start.endsWithClient)
        throw new AppError("not_supported", "a command that is started through an edge ends with its client");
      const { answer, pipe } = await link.open("exec", z.encode(Exec, { ...start, terminal: terminalOf(start) }));
      return createRemoteAttachment(pipe, { start, ...decode(Attached, answer) });
    },
    async connect(guest, at, { signal }) {
      const { pipe } = await link.open("connect", z.encode(AtGuest, { guest, at }), { signal });
      return socketOver(pipe);
    },
    async listen(guest, at, { signal, wakes = true }) {
      const { answer, pipe } = await link.open("listen", z.encode(Listen, { guest, at, wakes }), { signal });
      const { listener, port } = decode(Listening, answer);
      return listenerOver(pipe, { port, accept: (connection) => link.open("accept", { listener, connection }) });
    },
  };
}

function terminalOf({ terminal }: Parameters<EdgeNode["startExec"]>[0]) {
  return terminal && { ...terminal, modes: terminal.modes && Buffer.from(terminal.modes) };
}

function listenerOver(
  pipe: Pipe,
  { port, accept }: { readonly port: number | null; readonly accept: (connection: number) => ReturnType<Link["open"]> },
): GuestListener {
  return {
    port,
    async next() {
      try {
        await pipe.writeFrame(FRAME.next);
        const frame = await pipe.frame();
        if (!frame || frame.type === FRAME.noMore) {
          pipe.leave();
          return null;
        }
        if (frame.type !== FRAME.arrival) throw violation("that is no connection that came in");
        return decode(ArrivalWire, parseJson(frame.payload));
      } catch (error) {
        if (pipe.signal.aborted) return null;
        throw error;
      }
    },
    accept: async (connection) => socketOver((await accept(connection)).pipe),
    close: () => pipe.cut(),
  };
}
