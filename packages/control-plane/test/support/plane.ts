import { randomBytes } from "node:crypto";
import { type Clock, silentLogger, systemClock } from "@mags/core";
import type { AccountId } from "@mags/domain";
import {
  type ApiClient,
  createApiClient,
  createSimulatedNode,
  makeTempDir,
  type SimulatedNode,
  type SimulatedNodeOptions,
} from "@mags/test-kit";
import { createSealing, SEALING_KEY_BYTES, type Sealing } from "../../src/app/sealing.ts";
import type { Uploads } from "../../src/app/uploads.ts";
import type { ControlPlaneConfig } from "../../src/control-plane-config.ts";
import type { DatabaseAddress } from "../../src/sql/address.ts";
import { type Database, openDatabase } from "../../src/sql/database.ts";
import { type ControlPlane, openUploads, startControlPlane } from "../../src/start-control-plane.ts";

export interface TestPlane extends AsyncDisposable {
  readonly plane: ControlPlane;
  readonly database: Database;
  readonly node: SimulatedNode;
  readonly uploads: Uploads;
  readonly sealing: Sealing;
  readonly url: string;
  /** Folder with the bytes of uploads, in `uploads`, and the files of guests, in folders of their ids. */
  readonly filesRoot: string;
  /** With the token of the first account. */
  readonly admin: ApiClient;
  readonly adminToken: string;
  /** With a fresh token of that account. */
  clientOf(accountId: AccountId): Promise<ApiClient>;
  /** With the token of a fresh account. */
  addUser(): Promise<{ readonly client: ApiClient; readonly accountId: AccountId }>;
}

export interface TestPlaneOptions extends ControlPlaneConfig {
  readonly node?: SimulatedNode;
  readonly simulated?: SimulatedNodeOptions;
  readonly clock?: Clock;
  /** Default: with a key that nobody else has. */
  readonly sealing?: Sealing;
  /** Runs on the database before the control plane starts. */
  readonly prepare?: (database: Database) => Promise<void>;
}

/** A control plane that listens, with a simulated node. */
export async function startTestPlane(address: DatabaseAddress, options: TestPlaneOptions = {}): Promise<TestPlane> {
  await using scope = new AsyncDisposableStack();
  const log = silentLogger;
  const database = scope.use(await openDatabase({ log }, { address }));
  const files = scope.use(await makeTempDir());
  const node = options.node ?? createSimulatedNode({ filesRoot: files.path, ...options.simulated });
  scope.defer(() => node.disconnect());
  await options.prepare?.(database);
  const clock = options.clock ?? systemClock;
  const directory = `${files.path}/uploads`;
  const uploads = scope.use(await openUploads({ database, clock, log }, { directory, maxBytesPerAccount: 0 }));
  const sealing = options.sealing ?? createSealing({ bytes: randomBytes(SEALING_KEY_BYTES), file: "sealing.key" });
  const plane = scope.use(
    await startControlPlane({ database, node, uploads, sealing, clock, log }, { checkResponses: true, ...options }),
  );
  const url = await plane.listen({ host: "127.0.0.1", port: 0 });
  const account = await plane.accounts.ensureBootstrap();
  const { token } = await plane.accounts.issueToken(account.id, "test");
  let users = 0;
  const clientOf = async (accountId: AccountId) => {
    const issued = await plane.accounts.issueToken(accountId, "test");
    return createApiClient(url, issued.token.reveal());
  };
  const owned = scope.move();
  return {
    plane,
    database,
    node,
    uploads,
    sealing,
    url,
    filesRoot: files.path,
    admin: createApiClient(url, token.reveal()),
    adminToken: token.reveal(),
    clientOf,
    async addUser() {
      const user = await plane.accounts.create({ email: `user${++users}@localhost`, name: "user", role: "user" });
      return { client: await clientOf(user.id), accountId: user.id };
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
