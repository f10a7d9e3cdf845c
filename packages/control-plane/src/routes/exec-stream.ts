import { type execs, ROUTES } from "@mags/api-schema";
import { AppError } from "@mags/core";
import type { ExecId, ExecStart } from "@mags/domain";
import { inGuest } from "../app/in-guest.ts";
import { type BoundRoute, bind } from "../http/route.ts";
import { Conversation } from "../http/web-socket.ts";
import type { RouteDeps } from "./deps.ts";
import { converse, parseMessage, toSize } from "./exec-conversation.ts";
import { findJob } from "./find-job.ts";

/** The client tells right away what to start. */
const START_MS = 30_000;

export function execStreamRoute({ store, node, heartbeatMs }: RouteDeps): BoundRoute {
  return bind(ROUTES.execStream, async ({ params, account }) => {
    const job = await findJob(store, account.id, params.id);
    await inGuest(job, async () => {}); // one that has ended is refused before anything is upgraded
    return new Conversation((socket, { signal }) =>
      converse(socket, {
        ...{ heartbeatMs, signal, firstMs: START_MS },
        open: async (first) => {
          const message = first ? parseMessage(first) : null;
          if (message?.type !== "start")
            throw new AppError("validation_failed", "the first message must be start, and come within 30 s");
          return inGuest(job, (guest) => node.startExec(toStart(message, { guest, accountId: account.id })));
        },
      }),
    );
  });
}

type StartMessage = Extract<execs.ExecClientMessage, { type: "start" }>;

function toStart(message: StartMessage, of: Pick<ExecStart, "guest" | "accountId">): ExecStart {
  const { tty, timeout } = message;
  return {
    ...of,
    execId: message.exec_id as ExecId, // a UUID
    command: message.command ?? null,
    terminal: tty ? { ...toSize(tty), term: tty.term, modes: null } : null,
    stdin: message.stdin,
    environment: message.environment,
    cwd: message.cwd ?? null,
    timeoutMs: timeout === undefined ? null : Math.ceil(timeout * 1000),
    leavesGroup: false,
    endsWithClient: false,
  };
}
