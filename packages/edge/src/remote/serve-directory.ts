/** Calls about who signs in, at the server. */
import { AppError } from "@mags/core";
import { z } from "zod";
import { decode, parseJson } from "./json.ts";
import { Note, Ports, SignIn, User } from "./messages.ts";
import { violation } from "./pipe.ts";
import { FRAME, MOST_NOTES } from "./protocol.ts";
import type { ServerCall } from "./server-call.ts";

const Guest = z.object({ attempt: SignIn, accountId: z.string() });

export async function serveHello({ answer }: ServerCall): Promise<void> {
  await answer({});
}

export async function serveHostKey({ upstream, answer }: ServerCall): Promise<void> {
  await answer((await upstream.directory.hostKey()).reveal());
}

export async function serveFind({ asked, upstream, signal, answer }: ServerCall): Promise<void> {
  const found = await upstream.directory.find(decode(SignIn, asked), { signal });
  await answer(found && z.encode(User, found));
}

/** An edge does not say who somebody is, but by what he signed in. */
export async function serveGuest({ asked, upstream, edge, signal, answer }: ServerCall): Promise<void> {
  const { attempt, accountId } = decode(Guest, asked);
  const user = await upstream.directory.find(attempt, { signal });
  if (user?.accountId !== accountId) throw new AppError("forbidden", "this key may not sign in any more");
  const guest = await upstream.directory.guest(user, { signal });
  edge.grant(guest, user.accountId);
  await answer(guest);
}

export async function serveNotes({ asked, upstream, edge, answer }: ServerCall): Promise<void> {
  for (const note of decode(z.array(Note).max(MOST_NOTES), asked))
    upstream.directory.note({ ...note, data: { ...note.data, edge: edge.address } });
  await answer({});
}

export async function servePorts({ pipe, upstream, signal, answer }: ServerCall): Promise<void> {
  await answer({});
  const stop = upstream.directory.watchPorts(async (ports) => {
    try {
      await pipe.writeJson(FRAME.ports, [...ports]);
      const reply = await pipe.frame();
      if (reply?.type !== FRAME.unusable) throw violation("an answer about ports was due");
      return decode(Ports, parseJson(reply.payload));
    } catch {
      pipe.cut();
      return []; // an edge that has gone tells nothing of ports
    }
  });
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
  stop();
}
