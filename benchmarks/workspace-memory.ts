/** Memory of server and block server while five guests write and are synced all the time. */
import type { Benchmark } from "./context.ts";
import { usageOf } from "./processes.ts";
import { startSyncedServer } from "./synced-server.ts";

const GUESTS = 5;
const SECONDS = 60;
/** 2 MB/s, in other places each time. */
const WRITE = `python3 -c '
import os, time
end = time.monotonic() + ${SECONDS}
n = 0
with open("/root/steady", "wb") as file:
    while time.monotonic() < end:
        file.write(os.urandom(200000)); file.flush()
        time.sleep(.1)
'`;

export const workspaceMemory: Benchmark = async ({ say, note }) => {
  await using synced = await startSyncedServer();
  const { server, client } = synced;
  const ids = await Promise.all(
    Array.from({ length: GUESTS }, (_, n) => synced.begin({ script: "true", persistent: true, workspace_id: `m${n}` })),
  );
  for (const id of ids) await synced.sync(id);
  const { pid } = await server.serverStatus();
  const memory = async () => {
    const [server, blocks] = await Promise.all([usageOf(pid), synced.blockServer()]);
    return { server_mib: server.residentMib, block_server_mib: blocks.residentMib };
  };
  const before = await memory();
  const most = { ...before };
  const writing = Promise.all(ids.map((id) => client.exec(id, WRITE, { timeoutS: 2 * SECONDS })));
  let running = true;
  const syncing = ids.map(async (id) => {
    let syncs = 0;
    while (running) {
      await synced.sync(id);
      syncs++;
    }
    return syncs;
  });
  const sampling = (async () => {
    while (running) {
      const now = await memory();
      most.server_mib = Math.max(most.server_mib, now.server_mib);
      most.block_server_mib = Math.max(most.block_server_mib, now.block_server_mib);
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
  })();
  await writing;
  running = false;
  await sampling;
  const syncs = (await Promise.all(syncing)).reduce((sum, count) => sum + count, 0);
  say(`${GUESTS} guests write 2 MB/s each and are synced without a pause, ${syncs} syncs in ${SECONDS} s`);
  say(
    `    server ${before.server_mib} MiB before, ${most.server_mib} at most; block server ${before.block_server_mib} and ${most.block_server_mib}`,
  );
  note("memory_five_syncs", { before, most, syncs });
};
