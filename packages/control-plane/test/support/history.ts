/** Histories of synced workspaces: one control plane after another, on one database and with one node. */
import { createSimulatedNode, type SimulatedNode } from "@mags/test-kit";
import type { TestServer } from "./database.ts";
import { startTestPlane, type TestPlane, type TestPlaneOptions } from "./plane.ts";
import { type Body, JOBS, SYNCED, sandboxTests, WORKSPACES } from "./sandboxes.ts";

export type Api = ReturnType<typeof sandboxTests>;

export interface History {
  readonly node: SimulatedNode;
  plane(work: (api: Api, plane: TestPlane) => Promise<void>, fields?: TestPlaneOptions): Promise<void>;
}

/** On a database of its own. */
export async function beginHistory(server: TestServer): Promise<History> {
  const address = await server.database();
  const node = createSimulatedNode();
  return {
    node,
    async plane(work, fields = {}) {
      await using plane = await startTestPlane(address, { node, reconcileIntervalMs: 50, ...fields });
      await work(
        sandboxTests(() => plane),
        plane,
      );
    },
  };
}

/** Opens a workspace, writes the text, and stops it. */
export async function makeSynced(api: Api, node: SimulatedNode, name: string, text: string): Promise<void> {
  await api.untilScriptOver(await api.submit(SYNCED(name)));
  node.write(api.newestSandbox(), text);
  await api.call("POST", `${JOBS}/${name}/stop`);
}

export const listed = async (api: Api, name: string): Promise<Body> =>
  (await api.call("GET", WORKSPACES)).body.workspaces.find(({ id }: Body) => id === name);
