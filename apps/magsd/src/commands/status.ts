import { callControlSocket } from "../control-socket.ts";
import { placesOf } from "../installation.ts";
import type { ServerStatus } from "../status.ts";
import type { CommandContext } from "./context.ts";

/** @returns the exit code: 0 when the server is ready, 3 when it does not run (as service managers expect), 1 when it is not ready. */
export async function status({ config, print }: CommandContext, options: { readonly json: boolean }): Promise<number> {
  const found = await callControlSocket<ServerStatus>(placesOf(config).controlSocket, "GET", "/status", 5_000);
  if (options.json) print(JSON.stringify(found ?? { running: false }));
  else if (!found) print("magsd is not running; start it with: magsd start");
  else {
    const { pool } = found;
    print(`magsd ${found.version}, pid ${found.pid}, since ${found.started_at}${found.ready ? "" : " (not ready)"}`);
    print(`API:         ${found.api_url}`);
    print(`Accelerator: ${found.accelerator}: ${found.accelerator_reason}`);
    print(`Database:    ${found.database.kind}${found.database.pid === null ? "" : `, pid ${found.database.pid}`}`);
    print(
      `Pool:        ${pool.idle_vms} idle of at least ${pool.min_pool_size}, ${pool.busy_vms} busy, ${pool.queued_jobs} jobs queued`,
    );
  }
  if (!found) return 3;
  return found.ready ? 0 : 1;
}
