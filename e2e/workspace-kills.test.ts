import { after, before, it } from "node:test";
import { seedFrom } from "@mags/test-kit";
import { type S3Server, startS3Server } from "./harness/s3-server.ts";
import { killWorkspacesAtRandom } from "./harness/workspace-kills.ts";

const ROUNDS = Number(process.env.WORKSPACE_KILL_ROUNDS ?? 5);
const SEED = seedFrom(process.env.WORKSPACE_KILL_SEED);

let s3: S3Server;
before(async () => {
  s3 = await startS3Server();
});
after(() => s3?.[Symbol.asyncDispose]());

it(`kill -9 of server, block server, QEMU and object store at random moments of synced workspaces (WORKSPACE_KILL_SEED=${SEED}, ${ROUNDS} rounds): every acknowledged version is restored bit for bit, nothing is left`, async (t) => {
  await killWorkspacesAtRandom(s3, { rounds: ROUNDS, seed: SEED, say: (line) => t.diagnostic(line) });
});
