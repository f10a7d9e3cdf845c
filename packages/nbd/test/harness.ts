/** A server of one export at a socket of its own, and clients of it. */
import { join } from "node:path";
import {
  connectNbd,
  createNbdServer,
  type NbdClient,
  type NbdClientOptions,
  type NbdExport,
  type NbdServer,
  type NbdServerLimits,
} from "@mags/nbd";
import { makeTempDir } from "@mags/test-kit";

export const DEADLINE_MS = 60_000;

export interface Served extends AsyncDisposable {
  readonly path: string;
  readonly server: NbdServer;
  connect(options?: Partial<NbdClientOptions>): Promise<NbdClient>;
}

/** Serves it as "disk". */
export async function serve(source: NbdExport, limits: Partial<NbdServerLimits> = {}): Promise<Served> {
  await using scope = new AsyncDisposableStack();
  const directory = scope.use(await makeTempDir());
  const path = join(directory.path, "nbd.sock");
  const find = (name: string) => (name === "disk" ? source : undefined);
  const server = scope.use(createNbdServer({ exports: { find, list: () => ["disk"] } }, limits));
  await server.listen({ path });
  const owned = scope.move();
  return {
    path,
    server,
    async connect(options) {
      const signal = AbortSignal.timeout(DEADLINE_MS);
      return owned.use(await connectNbd(path, { exportName: "disk", signal, ...options }));
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
