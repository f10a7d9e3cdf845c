/** Calls about who signs in, at the server. */
import { AppError } from "@mags/core";
import type { SshUser } from "@mags/domain";
import { z } from "zod";
import { decode, parseJson } from "./json.ts";
import { Found, Note, Ports, SignIn } from "./messages.ts";
import { violation } from "./pipe.ts";
import { FRAME, MOST_NOTES } from "./protocol.ts";
import type { ServerCall } from "./server-call.ts";

const Hello = z.object({ edge: z.uuid().optional() });
const Guest = z.object({ attempt: SignIn, found: Found });

export async function serveHello({ asked, onHello, answer }: ServerCall): Promise<void> {
  const { edge } = decode(Hello, asked);
  if (edge !== undefined) onHello(edge);
  await answer({});
}

export async function serveHostKey({ upstream, answer }: ServerCall): Promise<void> {
  await answer((await upstream.directory.hostKey()).reveal());
}

export async function serveFind({ asked, upstream, tickets, signal, answer }: ServerCall): Promise<void> {
  const user = await upstream.directory.find(decode(SignIn, asked), { signal });
  await answer(user && z.encode(Found, { user, ticket: tickets.of(user) }));
}

/** An edge does not say who somebody is: the server knows whom it has found, or finds him again. */
export async function serveGuest(call: ServerCall): Promise<void> {
  const { upstream, edge, signal, answer } = call;
  const user = await userOf(call);
  const guest = await upstream.directory.guest(user, { signal });
  edge.grant(guest, user.accountId);
  await answer(guest);
}

async function userOf({ asked, upstream, tickets, signal }: ServerCall): Promise<SshUser> {
  const { attempt, found } = decode(Guest, asked);
  if (tickets.holds(found.user, found.ticket)) return found.user;
  // This server has been started since. The same login, key and port may stand for something else by now.
  const user = await upstream.directory.find(attempt, { signal });
  if (user?.accountId !== found.user.accountId || user.jobId !== found.user.jobId)
    throw new AppError("forbidden", "this login and key do not stand for what they did any more: connect again");
  return user;
}

export async function serveNotes({ asked, upstream, edge, open, answer }: ServerCall): Promise<void> {
  for (const note of decode(z.array(Note).max(MOST_NOTES), asked)) {
    const told = { ...note, data: { ...note.data, edge: edge.address } };
    upstream.directory.note(told);
    if (edge.name !== null) open.noted(edge.name, told);
  }
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
