import assert from "node:assert/strict";
import { IncomingMessage, ServerResponse } from "node:http";
import { Socket } from "node:net";
import { it } from "node:test";
import { passOn } from "./forward-request.ts";
import { OWN_NAMES } from "./pass.ts";

it("says nothing to a client that has left just as its answer comes, and gives the answer up", async () => {
  const answer = Object.assign(new IncomingMessage(new Socket()), { statusCode: 200 });
  const to = new ServerResponse(new IncomingMessage(new Socket()));
  to.destroy();
  assert.equal(await passOn(answer, to, { own: OWN_NAMES, traffic: { in: 0, out: 0 } }), false);
  assert.deepEqual([to.headersSent, answer.destroyed], [false, true]);
});
