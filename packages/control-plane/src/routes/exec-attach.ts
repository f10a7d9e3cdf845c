import { ROUTES } from "@mags/api-schema";
import type { ExecId } from "@mags/domain";
import { type BoundRoute, bind } from "../http/route.ts";
import { Conversation } from "../http/web-socket.ts";
import type { RouteDeps } from "./deps.ts";
import { converse } from "./exec-conversation.ts";

export function execAttachRoute({ node, heartbeatMs }: RouteDeps): BoundRoute {
  return bind(ROUTES.execAttach, async ({ params, query, account }) => {
    const execId = params.exec_id as ExecId; // a UUID
    const attachment = await node.attachExec(execId, { accountId: account.id, offset: query.offset });
    return new Conversation(
      (socket, { signal }) => converse(socket, { heartbeatMs, signal, firstMs: null, open: async () => attachment }),
      attachment.detach,
    );
  });
}
