import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { AccountId, JobId, SandboxId, SshUser } from "@mags/domain";
import type { Presence, SshTarget } from "./ssh-access-store.ts";
import type { SshKeyHolder } from "./ssh-key-store.ts";
import { parseLogin, type SignInFacts, sshUserOf } from "./ssh-login.ts";

const account = (name: string) => `account ${name}` as AccountId;
const JOB_ID = "6f9619ff-8b86-4d01-b42d-00c04fc964ff" as JobId;

function target(fields: Partial<SshTarget> = {}): SshTarget {
  return {
    ...{ sandboxId: "sandbox" as SandboxId, accountId: account("ann"), jobId: JOB_ID },
    ...{ jobName: "box", workspaceId: "files", ...fields },
  };
}

function holder(name: string): SshKeyHolder {
  return {
    ...{ keyId: `key of ${name}` as SshKeyHolder["keyId"], accountId: account(name), name: "laptop" },
    ...{ publicKey: Buffer.of(), accountName: name, accountEmail: `${name}@example.com` },
  };
}

const ANN = holder("ann");
const BOB = holder("bob");
const has = (...names: string[]) => presence({ there: names });
/** Who has what the login names, and how. */
function presence({
  there = [],
  over = [],
}: {
  readonly there?: readonly string[];
  readonly over?: readonly string[];
}) {
  const entries = (names: readonly string[], how: Presence) => names.map((name) => [account(name), how] as const);
  return new Map([...entries(there, "there"), ...entries(over, "over")]);
}

function signIn(login: string, facts: Partial<Omit<SignInFacts, "login">>): SshUser | null {
  const key = { type: "ssh-ed25519", blob: Buffer.of(), fingerprint: "SHA256:x" };
  return sshUserOf({
    attempt: { login, key, port: 2222, clientAddress: "127.0.0.1" },
    login: parseLogin(login),
    ...{ isJobPort: false, ofKey: null, ofPort: null, holders: [], withTarget: has() },
    ...facts,
  });
}

describe("parseLogin", () => {
  it("takes a name and an account apart at the first plus sign, which no name has", () => {
    assert.deepEqual(parseLogin("box"), { target: "box", account: null });
    assert.deepEqual(parseLogin("box+ann"), { target: "box", account: "ann" });
    assert.deepEqual(parseLogin("box+a+b@example.com"), { target: "box", account: "a+b@example.com" });
    assert.deepEqual(parseLogin(JOB_ID), { target: JOB_ID, account: null });
    for (const login of ["", "+ann", "a b", "\0", ".hidden", "x".repeat(64)])
      assert.equal(parseLogin(login).target, "");
  });
});

describe("sshUserOf", () => {
  it("knows a job by its own key: on its port with any login, on that of all with root, its name or id", () => {
    const ofKey = target();
    for (const login of ["root", "anybody", "", "other+ann"])
      assert.equal(signIn(login, { ofKey, ofPort: ofKey, isJobPort: true })?.jobId, JOB_ID);
    for (const login of ["root", "box", "files", JOB_ID]) {
      const user = signIn(login, { ofKey });
      assert.deepEqual([user?.accountId, user?.target, user?.jobId], [account("ann"), "files", JOB_ID]);
    }
    for (const login of ["other", "anybody", "", "box+bob"]) assert.equal(signIn(login, { ofKey }), null);
  });

  it("takes the key of a job on no other job's port, nor on one that is nobody's any more", () => {
    const ofPort = target({ sandboxId: "another" as SandboxId });
    assert.equal(signIn("root", { ofKey: target(), ofPort, isJobPort: true }), null);
    assert.equal(signIn("root", { ofKey: target(), isJobPort: true }), null);
  });

  it("takes the key of an account on the ports of its jobs, with root or their names", () => {
    const facts = { ofPort: target(), isJobPort: true, holders: [BOB, ANN] };
    for (const login of ["root", "box", "files", JOB_ID, "box+ann", "root+ann@example.com"])
      assert.deepEqual([signIn(login, facts)?.jobId, signIn(login, facts)?.keyName], [JOB_ID, "laptop"]);
    for (const login of ["other", "", "box+bob"]) assert.equal(signIn(login, facts), null);
    assert.equal(signIn("box", { ...facts, holders: [BOB], withTarget: has("bob") }), null);
    assert.equal(signIn("box", { ...facts, ofPort: null, withTarget: has("ann") }), null);
  });

  it("finds what the login names in the accounts that the key is on", () => {
    const user = signIn("box", { holders: [ANN, BOB], withTarget: has("bob") });
    assert.deepEqual(
      { ...user },
      {
        ...{ accountId: account("bob"), keyName: "laptop", fingerprint: "SHA256:x", target: "box" },
        ...{ jobId: null, refusal: null },
      },
    );
    assert.equal(signIn("box", { holders: [ANN], withTarget: has() }), null);
    assert.equal(signIn("box", { holders: [], withTarget: has() }), null);
  });

  it("passes by what is over in other accounts, unless their account is given", () => {
    const facts = { holders: [ANN, BOB], withTarget: presence({ there: ["bob"], over: ["ann"] }) };
    for (const [login, name] of [
      ["box", "bob"],
      ["box+bob", "bob"],
      ["box+ann", "ann"],
    ] as const) {
      const user = signIn(login, facts);
      assert.deepEqual([user?.accountId, user?.refusal], [account(name), null], login);
    }
    assert.equal(signIn("box", { holders: [ANN, BOB], withTarget: presence({ over: ["ann"] }) })?.refusal, null);
  });

  it("asks for the account where several have it, and takes it by name, address or id", () => {
    const facts = { holders: [ANN, BOB], withTarget: has("ann", "bob") };
    const refusal = signIn("box", facts)?.refusal ?? "";
    assert.match(refusal, /more than one account .*: sign in as one of box\+ann@example\.com, box\+bob@example\.com$/);
    for (const name of ["bob", "bob@example.com", account("bob")]) {
      const user = signIn(`box+${name}`, facts);
      assert.deepEqual([user?.accountId, user?.refusal, user?.target], [account("bob"), null, "box"]);
    }
    assert.equal(signIn("box+eve", facts), null);
    const over = signIn("box", { holders: [ANN, BOB], withTarget: presence({ over: ["ann", "bob"] }) });
    assert.match(over?.refusal ?? "", /more than one account/);
    const namesakes = [ANN, { ...BOB, accountName: "ann" }];
    assert.match(signIn("box+ann", { ...facts, holders: namesakes })?.refusal ?? "", /box\+bob@example\.com/);
  });
});
