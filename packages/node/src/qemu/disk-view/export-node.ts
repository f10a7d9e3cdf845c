import { handOverCommand, type RuntimeRoot } from "@mags/runtime-root";
import { run } from "../../host/run.ts";
import type { Qmp } from "../qmp.ts";
import { EXPORT } from "./block-graph.ts";

/**
 * Shows a block node over NBD, read only, to one client. QEMU has one NBD server, and can make no sockets: it is given one.
 * @param socket  Path where it listens. Whoever stops serving removes it.
 * @param show    Which node, and what is told of it beside its bytes.
 */
export async function exportNode(
  { qmp, runtime }: { readonly qmp: Qmp; readonly runtime: RuntimeRoot },
  socket: string,
  show: { readonly "node-name": string } & Readonly<Record<string, unknown>>,
): Promise<void> {
  await qmp.executeWith("getfd", { fdname: EXPORT }, (connection, message) =>
    run(handOverCommand(runtime, socket, message), { shared: connection }),
  );
  await qmp.execute("nbd-server-start", { addr: { type: "fd", data: { str: EXPORT } }, "max-connections": 1 });
  await qmp.execute("block-export-add", { type: "nbd", id: EXPORT, name: EXPORT, writable: false, ...show });
}
