import assert from "node:assert/strict";
import { it } from "node:test";
import { type AccountId, type ExecId, newJobId } from "@mags/domain";
import { createSimulatedExecs } from "./simulated-execs.ts";

it("a simulated command takes nothing from a client that has left", async () => {
  const execs = createSimulatedExecs({ awaken: () => {} });
  const attachment = await execs.startExec({
    execId: "e-1" as ExecId,
    guest: newJobId(),
    accountId: "a-1" as AccountId,
    command: "cat",
    terminal: null,
    stdin: true,
    environment: {},
    cwd: null,
    timeoutMs: null,
    leavesGroup: false,
    endsWithClient: false,
  });
  const piece = { offset: 0, bytes: Buffer.from("x") };
  attachment.write(piece);
  attachment.detach();
  const code = "exec_taken_over";
  assert.throws(() => attachment.write({ ...piece, offset: 1 }), { code });
  assert.throws(() => attachment.endInput(1), { code });
  await assert.rejects(attachment.read(), { code });
  attachment.hangUp();
  attachment.forget();
  assert.deepEqual([attachment.inputOffset, attachment.end, execs.count], [1, null, 1]);
  execs.endAll();
});
