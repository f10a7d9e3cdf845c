/** What tests of sandboxes say again and again, to one control plane. */
import assert from "node:assert/strict";
import type { JobId, SandboxId } from "@mags/domain";
import { type ApiClient, waitFor } from "@mags/test-kit";
import type { TestPlane } from "./plane.ts";

export const JOBS = "/api/v1/mags-jobs";
export const WORKSPACES = "/api/v1/mags-workspaces";

/** Bodies of the API are checked against its schemas by the server under test, so tests read them freely. */
// biome-ignore lint/suspicious/noExplicitAny: see above.
export type Body = any;

/** As `mags new NAME` submits. */
export const NEW = (name: string) => ({ ...KEPT(name), script: "sleep infinity" });
/** A persistent job on a local workspace. */
export const KEPT = (name: string) => ({ name, workspace_id: name, persistent: true, no_sync: true });

/** A persistent job on a synced workspace. */
export const SYNCED = (name: string) => ({ name, workspace_id: name, persistent: true });

export function sandboxTests(plane: () => TestPlane, client: () => ApiClient = () => plane().admin) {
  async function call(method: string, path: string, body?: unknown) {
    const reply = await client().call(method, path, body);
    return { ...reply, body: reply.body as Body };
  }

  const post = (fields: Readonly<Record<string, unknown>>) =>
    call("POST", JOBS, { script: "echo hi", type: "inline", ...fields });

  async function submit(fields: Readonly<Record<string, unknown>>): Promise<JobId> {
    const reply = await post(fields);
    assert.equal(reply.status, 202, JSON.stringify(reply.body));
    return reply.body.request_id;
  }

  const statusOf = async (id: string): Promise<Body> => (await call("GET", `${JOBS}/${id}/status`)).body;

  async function until(id: string, isSo: (status: Body) => boolean, what: string): Promise<Body> {
    let last: Body;
    const isDone = async () => {
      last = await statusOf(id);
      return isSo(last) && last;
    };
    return waitFor(isDone, { what: `job ${id} to be ${what}` }).catch((error: unknown) => {
      throw new Error(`${error}: ${JSON.stringify(last)}`);
    });
  }
  const untilStatus = (id: string, status: string) => until(id, (job) => job.status === status, status);
  const untilScriptOver = (id: string) => until(id, (job) => job.exit_code !== undefined, "over");

  /** A persistent job whose script is over. */
  async function idle(name: string, fields: Readonly<Record<string, unknown>> = {}) {
    const id = await submit({ ...KEPT(name), ...fields });
    await untilScriptOver(id);
    return { id, sandbox: newestSandbox() };
  }

  function newestSandbox(): SandboxId {
    const seen = plane().node.observeSandboxes().at(-1);
    assert.ok(seen, "the node has a sandbox");
    return seen.sandboxId;
  }

  const events = async (id: string): Promise<readonly Body[]> =>
    (await call("GET", `${JOBS}/${id}/events`)).body.events;
  const eventNames = async (id: string) => (await events(id)).map(({ name }) => name);
  const untilEvent = (id: string, name: string): Promise<Body> =>
    waitFor(async () => (await events(id)).find((event) => event.name === name), { what: `${name} of ${id}` });

  return {
    ...{ call, post, submit, statusOf, until, untilStatus, untilScriptOver, idle, newestSandbox },
    ...{ events, eventNames, untilEvent },
  };
}
