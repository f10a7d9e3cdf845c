import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { after, before, describe, it } from "node:test";
import { isAppError, silentLogger } from "@mags/core";
import { createSimulatedNode, makeTempDir, waitFor } from "@mags/test-kit";
import { createSealing, SEALING_KEY_BYTES } from "../src/app/sealing.ts";
import { openDatabase } from "../src/sql/database.ts";
import { createSshAccessStore } from "../src/sql/ssh-access-store.ts";
import { startTestServer, type TestServer } from "./support/database.ts";
import { startTestPlane, type TestPlane } from "./support/plane.ts";
import { type Body, JOBS, KEPT, sandboxTests } from "./support/sandboxes.ts";
import { publicOf, SHARED_PORT, SSH, sshTests } from "./support/ssh.ts";

let server: TestServer;
let plane: TestPlane;
before(async () => {
  server = await startTestServer();
  plane = await startTestPlane(await server.database(), { ssh: SSH });
});
after(async () => {
  await plane[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

const { call, submit, idle, statusOf, untilStatus } = sandboxTests(() => plane);
const { access, signIn, directory } = sshTests(() => plane);
const newSealing = (file = "sealing.key") => createSealing({ bytes: randomBytes(SEALING_KEY_BYTES), file });

describe("access by SSH", () => {
  it("gives all that a client needs, the same each time, by id and by name", async () => {
    const { id } = await idle("box");
    const first = await access("box");
    const { body: service } = await call("GET", "/api/v1/ssh");
    const { ssh_port, ssh_private_key, ...rest } = first;
    assert.deepEqual(rest, {
      ...{ success: true, port: 22, ssh_host: "ssh.example", ssh_user: "root" },
      ...{ ssh_host_key: service.host_key, ssh_host_fingerprint: service.fingerprint },
    });
    assert.deepEqual([service.enabled, service.host, service.port], [true, "ssh.example", SHARED_PORT]);
    assert.match(service.host_key, /^ssh-ed25519 AAAA/);
    assert.ok(ssh_port >= 40_000 && ssh_port <= 40_099);
    assert.deepEqual(await Promise.all([access(id), access("box")]), [first, first]);
    await using dir = await makeTempDir();
    await writeFile(`${dir.path}/key`, ssh_private_key, { mode: 0o600 });
    const shown = execFileSync("ssh-keygen", ["-l", "-f", `${dir.path}/key`], { encoding: "utf8" });
    assert.match(shown, /^256 SHA256:\S+ mags box \(ED25519\)/);
  });

  it("makes one key and one port, however many ask at once", async () => {
    await idle("crowd");
    const replies = await Promise.all(Array.from({ length: 10 }, () => access("crowd")));
    assert.equal(new Set(replies.map((reply) => JSON.stringify(reply))).size, 1);
  });

  it("gives no two jobs the same key or port", async () => {
    await Promise.all(["one", "two", "three"].map((name) => idle(name)));
    const replies = await Promise.all(["one", "two", "three"].map(access));
    assert.equal(new Set(replies.map((reply) => reply.ssh_port)).size, 3);
    assert.equal(new Set(replies.map((reply) => reply.ssh_private_key)).size, 3);
  });

  it("wakes a job that sleeps", async () => {
    const { id } = await idle("asleep");
    await call("POST", `${JOBS}/${id}/sleep`);
    await access("asleep");
    assert.equal((await statusOf(id)).status, "running");
  });

  it("is refused with the reason where there is nothing to reach", async () => {
    const refused = async (job: string) => {
      const { status, body } = await call("POST", `${JOBS}/${job}/access`, { port: 22 });
      return `${status} ${body.error}`;
    };
    await submit({ name: "once", script: "hang" });
    assert.match(await refused("once"), /^400 .*only persistent jobs are reached by SSH/);
    const { id } = await idle("over");
    await call("POST", `${JOBS}/${id}/stop`);
    assert.match(await refused(id), /^409 .*not running/);
    plane.node.hold();
    await submit(KEPT("early"));
    assert.match(await refused("early"), /^409 .*no VM associated with this job/);
    plane.node.release();
    assert.match(await refused("nobody"), /^404 /);
  });

  it("is in the audit log", async () => {
    await idle("logged");
    const { ssh_port } = await access("logged");
    const entry = await waitFor(
      async () =>
        plane.database.run((db) =>
          db
            .selectFrom("audit_log")
            .selectAll()
            .where("action", "=", "access_granted")
            .where("target", "=", "logged")
            .executeTakeFirst(),
        ),
      { what: "the entry" },
    );
    assert.deepEqual([entry.data, entry.client_address], [{ port: ssh_port }, "127.0.0.1"]);
  });
});

describe("key and port of a job", () => {
  it("end with its sandbox", async () => {
    await idle("mortal");
    const told: ReadonlySet<number>[] = [];
    const end = directory().watchPorts(async (ports) => {
      told.push(ports);
      return [];
    });
    const { ssh_port, ...given } = await access("mortal");
    assert.ok(told.at(-1)?.has(ssh_port));
    assert.ok(await signIn("root", publicOf(given), ssh_port));
    await call("POST", `${JOBS}/mortal/stop`);
    await waitFor(() => !told.at(-1)?.has(ssh_port), { what: "the gateway to be told" });
    end();
    assert.equal(await signIn("root", publicOf(given), ssh_port), null);
    assert.equal(await signIn("root", publicOf(given)), null);
    const left = await plane.database.run((db) => db.selectFrom("sandbox_ssh").select("port").execute());
    assert.ok(!left.some(({ port }) => port === ssh_port));
  });

  it("pass to the job that takes its place", async () => {
    const { id } = await idle("heir");
    const before = await access("heir");
    const user = (await signIn("root", publicOf(before), before.ssh_port)) ?? assert.fail();
    assert.equal(user.jobId, id);
    const next = await submit(KEPT("heir"));
    assert.equal((await statusOf(id)).status, "completed");
    await untilStatus(next, "running");
    assert.deepEqual(await access("heir"), before);
    assert.equal((await signIn("root", publicOf(before), before.ssh_port))?.jobId, next);
    const { guest } = sshTests(() => plane);
    assert.equal(await guest(user), await guest({ ...user, jobId: next as never }));
  });

  it("stay over a restart, as the host key does", async () => {
    const address = await server.database();
    const [node, sealing] = [createSimulatedNode(), newSealing()];
    const options = { node, sealing, ssh: SSH };
    let before: Body;
    let hostKey: string;
    {
      await using own = await startTestPlane(address, options);
      await sandboxTests(() => own).idle("box");
      before = await sshTests(() => own).access("box");
      hostKey = (await own.plane.ssh?.hostKey())?.reveal() ?? "";
    }
    await using own = await startTestPlane(address, options);
    const told = Promise.withResolvers<ReadonlySet<number>>();
    own.plane.ssh?.watchPorts(async (ports) => {
      told.resolve(ports);
      return [];
    });
    assert.deepEqual([...(await told.promise)], [before.ssh_port]);
    assert.deepEqual(await sshTests(() => own).access("box"), before);
    assert.match(hostKey, /^-----BEGIN OPENSSH/);
    assert.equal((await own.plane.ssh?.hostKey())?.reveal(), hostKey);
  });

  it("are the port of all and a key of its own where jobs have no ports, or none is left", async () => {
    for (const jobPorts of [null, { from: 40_000, to: 40_000 }]) {
      await using own = await startTestPlane(await server.database(), { ssh: { ...SSH, jobPorts } });
      const api = sandboxTests(() => own);
      const ssh = sshTests(() => own);
      await Promise.all([api.idle("one"), api.idle("two")]);
      const one = await ssh.access("one");
      const two = await ssh.access("two");
      assert.deepEqual([one.ssh_port, two.ssh_port], [jobPorts ? 40_000 : SHARED_PORT, SHARED_PORT]);
      assert.equal((await ssh.mustSignIn("root", publicOf(two))).target, "two");
    }
  });

  it("is a port that gateways can listen on, and rather one that nobody had lately", async () => {
    const jobPorts = { from: 40_000, to: 40_002 };
    await using own = await startTestPlane(await server.database(), { ssh: { ...SSH, jobPorts } });
    const api = sandboxTests(() => own);
    const ssh = sshTests(() => own);
    own.plane.ssh?.watchPorts(async (ports) => [...ports].filter((port) => port === 40_001));
    const portOf = async (name: string) => (await ssh.access(name)).ssh_port;
    await Promise.all(["a", "b", "c"].map((name) => api.idle(name)));
    const first = await portOf("a");
    await api.call("POST", `${JOBS}/a/stop`);
    const second = await portOf("b");
    assert.deepEqual([first, second].sort(), [40_000, 40_002]);
    assert.equal(await portOf("c"), first);
  });
});

describe("a sealing key that is lost", () => {
  it("does not let the server start, which says what to do", async () => {
    const address = await server.database();
    await using dir = await makeTempDir();
    await (await startTestPlane(address, { ssh: SSH }))[Symbol.asyncDispose]();
    const options = { ssh: SSH, sealing: newSealing(`${dir.path}/other.key`) };
    const error = await startTestPlane(address, options).catch((thrown: unknown) => thrown);
    assert.ok(isAppError(error, "unavailable"));
    assert.match(
      error.message,
      /host key for SSH cannot be opened: .*other\.key holds key .*Put the right key file back/,
    );
    // Without SSH it is not needed.
    await (await startTestPlane(address, { ...options, ssh: null }))[Symbol.asyncDispose]();
    const replacing = { ...options, ssh: { ...SSH, replacesLostHostKey: true } };
    await (await startTestPlane(address, replacing))[Symbol.asyncDispose]();
    await (await startTestPlane(address, options))[Symbol.asyncDispose]();
  });

  it("is no end of access: jobs get other keys", async () => {
    const address = await server.database();
    const node = createSimulatedNode();
    let before: Body;
    {
      await using own = await startTestPlane(address, { node, ssh: SSH });
      await sandboxTests(() => own).idle("box");
      before = await sshTests(() => own).access("box");
      await own.database.run((db) => db.deleteFrom("installation_secrets").execute());
    }
    await using own = await startTestPlane(address, { node, ssh: SSH });
    const ssh = sshTests(() => own);
    assert.ok(await ssh.signIn("root", publicOf(before)));
    const now = await ssh.access("box");
    assert.equal(now.ssh_port, before.ssh_port);
    assert.notEqual(now.ssh_private_key, before.ssh_private_key);
    assert.notEqual(now.ssh_host_key, before.ssh_host_key);
    assert.equal(await ssh.signIn("root", publicOf(before)), null);
    assert.ok(await ssh.signIn("root", publicOf(now)));
  });
});

describe("createSshAccessStore", () => {
  it("gives all who make a secret at once the same", async () => {
    await using database = await openDatabase({ log: silentLogger }, { address: await server.database() });
    const store = createSshAccessStore(database);
    const made = ["a", "b", "c"].map((text) =>
      store.secret("name", () => ({ sealed: Buffer.from(text), at: new Date() })),
    );
    const secrets = await Promise.all(made);
    assert.equal(new Set(secrets.map(String)).size, 1);
  });
});

describe("a server without SSH", () => {
  let off: TestPlane;
  before(async () => {
    off = await startTestPlane(await server.database());
  });
  after(() => off[Symbol.asyncDispose]());
  const api = sandboxTests(() => off);

  it("says so", async () => {
    assert.equal(off.plane.ssh, null);
    await api.idle("box");
    const reply = await api.call("POST", `${JOBS}/box/access`, { port: 22 });
    assert.deepEqual([reply.status, reply.body.error], [400, "this server takes no SSH connections"]);
    const { body } = await api.call("GET", "/api/v1/ssh");
    assert.deepEqual(body, { enabled: false, host: null, port: null, host_key: null, fingerprint: null });
  });
});
