/**
 * A user of synced workspaces whose server, node and object store are killed now and then: what was asked for, and may
 * or may not have been done, is asked for again until it is.
 */

import { messageOf } from "@mags/core";
import { waitFor } from "@mags/test-kit";
import type { TestServer } from "./server.ts";

export interface ListedVersion {
  readonly version: number;
  readonly reason: string;
}

export interface PatientUser {
  /** A persistent job is on the workspace, and its guest answers. `base`: what a new one begins as, `name@version`. */
  open(name: string, base?: string): Promise<void>;
  /** Resolves with what the command printed when it succeeded; until then it is run again. */
  run(name: string, command: string): Promise<string>;
  /** Once, whatever becomes of it. */
  tryRun(name: string, command: string): Promise<void>;
  /** One attempt. @returns the version; undefined: nobody said that it was done, and it may have been. */
  trySync(name: string): Promise<number | undefined>;
  trySleep(name: string): Promise<void>;
  /** Resolves when its job has ended. */
  stop(name: string): Promise<void>;
  /** Oldest first. */
  versions(name: string): Promise<readonly ListedVersion[]>;
  /** Runs a script in a VM of its own that begins as a version. @returns what it printed when it succeeded. */
  read(version: string, script: string): Promise<string>;
  remove(name: string): Promise<void>;
}

interface Reply {
  readonly status: number;
  readonly body: { readonly [key: string]: unknown };
}

const JOBS = "/api/v1/mags-jobs";
const WORKSPACES = "/api/v1/mags-workspaces";
const CALL_MS = 60_000;
const PATIENCE_MS = 180_000;

export function createPatientUser(server: TestServer): PatientUser {
  let last = "";

  /** No reply is one like those that say "not now". */
  async function call(method: string, path: string, body?: unknown): Promise<Reply> {
    const reply = await server.api
      .call(method, path, body, { signal: AbortSignal.timeout(CALL_MS) })
      .catch((error: unknown) => ({ status: 0, body: { error: messageOf(error) } }));
    last = `${method} ${path}: ${reply.status} ${JSON.stringify(reply.body)}`;
    return reply as Reply;
  }

  async function until<T>(what: string, attempt: () => Promise<T | undefined>): Promise<T> {
    const options = { what, deadlineMs: PATIENCE_MS, intervalMs: 200 };
    const done = await waitFor(async () => {
      const value = await attempt();
      return value === undefined ? undefined : { value };
    }, options).catch((cause: unknown) => {
      throw new Error(`${messageOf(cause)}; the last reply was ${last}`, { cause });
    });
    return done.value;
  }

  const hasEnded = ({ body }: Reply) => body.status === "completed" || body.status === "error";
  const statusOf = (name: string) => call("GET", `${JOBS}/${name}/status`);
  const exec = (name: string, command: string) =>
    call("POST", `${JOBS}/${name}/exec`, { command, timeout: CALL_MS / 1_000 });
  const succeeded = ({ status, body }: Reply) => status === 200 && body.exit_code === 0;
  const submit = (body: Readonly<Record<string, unknown>>) => call("POST", JOBS, { type: "inline", ...body });

  return {
    open: (name, base) =>
      until(`workspace ${name} to be open`, async () => {
        const status = await statusOf(name);
        if (status.status === 200 && !hasEnded(status)) return succeeded(await exec(name, "true")) || undefined;
        if (status.status === 200 || status.status === 404)
          await submit({
            ...{ script: "true", persistent: true, workspace_id: name },
            ...(base !== undefined && { base_workspace_id: base }),
          });
        return undefined;
      }).then(() => {}),
    run: (name, command) =>
      until(`a command in ${name}`, async () => {
        const reply = await exec(name, command);
        return succeeded(reply) ? String(reply.body.stdout) : undefined;
      }),
    async tryRun(name, command) {
      await exec(name, command);
    },
    async trySync(name) {
      const { status, body } = await call("POST", `${JOBS}/${name}/sync`);
      return status === 200 ? Number(body.version) : undefined;
    },
    async trySleep(name) {
      await call("POST", `${JOBS}/${name}/sleep`);
    },
    stop: (name) =>
      until(`the end of ${name}`, async () => {
        await call("POST", `${JOBS}/${name}/stop`);
        return hasEnded(await statusOf(name)) || undefined;
      }).then(() => {}),
    versions: (name) =>
      until(`the versions of ${name}`, async () => {
        const { status, body } = await call("GET", `${WORKSPACES}/${name}/versions`);
        return status === 200 ? (body.versions as ListedVersion[]).toReversed() : undefined;
      }),
    read: (version, script) =>
      until(`a job on ${version}`, async () => {
        const { status, body } = await submit({ script, base_workspace_id: version, persistent: false });
        if (status !== 202) return undefined;
        const id = String(body.request_id);
        const ended = await until(`the end of job ${id}`, async () => {
          const reply = await statusOf(id);
          return hasEnded(reply) ? reply : undefined;
        });
        if (ended.body.exit_code !== 0) return undefined;
        const { text, exitCode } = await server.mags(["logs", id]);
        return exitCode === 0 ? text : undefined;
      }),
    remove: (name) =>
      until(`workspace ${name} to be deleted`, async () => {
        const { status } = await call("DELETE", `${WORKSPACES}/${name}?force=1`);
        return status === 200 || status === 404 || undefined;
      }).then(() => {}),
  };
}
