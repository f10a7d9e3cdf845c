import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import { newJobId, type SshUser } from "@mags/domain";
import { createTickets } from "./tickets.ts";

const user: SshUser = {
  ...{ accountId: randomUUID() as SshUser["accountId"], keyName: "own", fingerprint: "SHA256:x" },
  ...{ target: "box", jobId: newJobId(), refusal: null },
};

describe("tickets", () => {
  it("hold for the one they were made for, as he was, at the server that made them", () => {
    const tickets = createTickets();
    const ticket = tickets.of(user);
    assert.equal(tickets.holds({ ...user }, ticket), true);
    for (const other of [{ jobId: newJobId() }, { jobId: null }, { fingerprint: "SHA256:y" }, { target: "other" }])
      assert.equal(tickets.holds({ ...user, ...other }, ticket), false);
    for (const other of ["", "x", ticket.slice(4), createTickets().of(user)])
      assert.equal(tickets.holds(user, other), false);
  });
});
