import assert from "node:assert/strict";
import { it } from "node:test";
import { eventToWire } from "./event-wire.ts";

it("event data is sent under the names of the API", () => {
  const data = { microVmId: "vm-1", stagesMs: { bound: 3 }, memoryMiB: 1024, exitCode: 0, origin: "slot" };
  const wire = eventToWire({ id: 5, at: new Date(0), name: "started", data });
  assert.deepEqual(wire, {
    id: 5,
    at: "1970-01-01T00:00:00.000Z",
    name: "started",
    message: "script started in vm-1",
    data: { vm_id: "vm-1", stages_ms: { bound: 3 }, memory_mb: 1024, exit_code: 0, origin: "slot" },
  });
});
