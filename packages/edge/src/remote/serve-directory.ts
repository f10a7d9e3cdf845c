/** Calls about who signs in, at the server. */
import { AppError } from "@mags/core";
import type { SshDirectory, SshUser } from "@mags/domain";
import { z } from "zod";
import { decode, parseJson } from "./json.ts";
import { Found, Note, Ports, SignIn } from "./messages.ts";
import { violation } from "./pipe.ts";
import { FRAME, MOST_NOTES } from "./protocol.ts";
import type { ServerCall } from "./server-call.ts";

const Hello = z.object({ edge: z.uuid().optional() });
const Guest = z.object({ attempt: SignIn, found: Found });

/** @throws AppError `not_supported`: the server has none */
export function sshOf({ upstream: { directory } }: Pick<ServerCall, "upstream">): SshDirectory {
  if (!directory) throw new AppError("not_supported", "this server serves no SSH: its configuration says so");
  return directory;
}

export async function serveHello({ asked, onHello, answer }: ServerCall): Promise<void> {
  const { edge } = decode(Hello, asked);
  if (edge !== undefined) onHello(edge);
  await answer({});
}

export async function serveHostKey(call: ServerCall): Promise<void> {
  await call.answer((await sshOf(call).hostKey()).reveal());
}

export async function serveFind(call: ServerCall): Promise<void> {
  const { asked, tickets, signal, answer } = call;
  const user = await sshOf(call).find(decode(SignIn, asked), { signal });
  await answer(user && z.encode(Found, { user, ticket: tickets.of(user) }));
}

/** An edge does not say who somebody is: the server knows whom it has found, or finds him again. */
export async function serveGuest(call: ServerCall): Promise<void> {
  const { edge, signal, answer } = call;
  const user = await userOf(call);
  const guest = await sshOf(call).guest(user, { signal });
  edge.grant(guest, user.accountId);
  await answer(guest);
}

async function userOf(call: ServerCall): Promise<SshUser> {
  const { asked, tickets, signal } = call;
  const { attempt, found } = decode(Guest, asked);
  if (tickets.holds(found.user, found.ticket)) return found.user;
  // This server has been started since. The same login, key and port may stand for something else by now.
  const user = await sshOf(call).find(attempt, { signal });
  if (user?.accountId !== found.user.accountId || user.jobId !== found.user.jobId)
    throw new AppError("forbidden", "this login and key do not stand for what they did any more: connect again");
  return user;
}

export async function serveNotes(call: ServerCall): Promise<void> {
  const { asked, edge, open, answer } = call;
  const directory = sshOf(call);
  for (const note of decode(z.array(Note).max(MOST_NOTES), asked)) {
    const told = { ...note, data: { ...note.data, edge: edge.address } };
    directory.note(told);
    if (edge.name !== null) open.noted(edge.name, told);
  }
  await answer({});
}

export async function servePorts(call: ServerCall): Promise<void> {
  const { pipe, signal, answer } = call;
  const directory = sshOf(call);
  await answer({});
  const stop = directory.watchPorts(async (ports) => {
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
