import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { AppError, silentLogger } from "@mags/core";
import { newJobId, type SshUser } from "@mags/domain";
import { waitFor } from "@mags/test-kit";
import { connectUpstream, type EdgeServer, type RemoteUpstream, startEdgeServer } from "../src/index.ts";
import { createWhole, newSecret, soon } from "./apart.ts";

const whole = createWhole();
const [first, second] = [newJobId(), newJobId()];
/** Whom the directory finds now, and whom it was asked for. */
let found: SshUser | null;
let asked: SshUser[] = [];
const upstream = {
  ...whole.upstream,
  directory: {
    ...whole.upstream.directory,
    find: async () => found,
    async guest(user: SshUser) {
      asked.push(user);
      if (user.jobId === first && found?.jobId !== first) throw new AppError("job_not_running", "the first has ended");
      return whole.guest;
    },
  },
};
const of = (jobId: SshUser["jobId"], accountId: string = whole.accountId): SshUser => ({
  ...{ accountId: accountId as SshUser["accountId"], keyName: "own", fingerprint: "SHA256:x" },
  ...{ target: "box", jobId, refusal: null },
});

describe("who has signed in at an edge", () => {
  const at = { host: "127.0.0.1", secret: newSecret() };
  let server: EdgeServer;
  let edge: RemoteUpstream;
  const serve = async (port: number) => {
    server = await startEdgeServer({ upstream, log: silentLogger }, { ...at, port });
  };
  const signIn = async () => {
    found = of(first);
    asked = [];
    return (await edge.directory.find(whole.attempt, { signal: soon() })) ?? assert.fail("nobody");
  };
  const guest = (user: SshUser) => edge.directory.guest(user, { signal: soon() });
  const restart = async () => {
    const { port } = server;
    await server[Symbol.asyncDispose]();
    await serve(port);
    await waitFor(() => server.edges().length > 0, { what: "the edge to come again" });
    await edge.connected({ signal: soon() });
  };
  before(async () => {
    await serve(0);
    edge = connectUpstream({ log: silentLogger }, { ...at, port: server.port });
    await edge.connected({ signal: soon() });
  });
  after(async () => {
    await edge[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  it("is who he was, whatever his login, key and port stand for by now, and hears the directory's reasons", async () => {
    const user = await signIn();
    assert.equal(await guest(user), whole.guest);
    for (const now of [of(second), null]) {
      found = now;
      await assert.rejects(guest(user), /the first has ended/);
    }
    assert.deepEqual(asked, [user, user, user]);
  });

  it("is found again by a server that was started since, as who he was or not at all", async () => {
    const user = await signIn();
    await restart();
    assert.equal(await guest(user), whole.guest);
    for (const now of [of(second), of(first, randomUUID()), null]) {
      found = now;
      await assert.rejects(guest(user), /do not stand for what they did any more: connect again/);
    }
    assert.deepEqual(asked, [user]);
  });
});
