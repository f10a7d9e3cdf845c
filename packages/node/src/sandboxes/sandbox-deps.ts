import type { Gate } from "@mags/core";
import type { NodeUpdate } from "@mags/domain";
import type { AgentConnection } from "../agent/index.ts";
import type { Guests } from "../guests/guests.ts";
import type { Capacity } from "../jobs/capacity.ts";
import type { EgressWatch } from "../jobs/egress-watch.ts";
import type { MicroVm } from "../microvm/microvm-host.ts";
import type { Egress } from "../network/egress.ts";
import type { CloneDeps } from "../pool/clone.ts";
import type { Accelerator } from "../qemu/command-line.ts";
import type { TemplateStore } from "../templates/template-store.ts";
import type { Blocks } from "../workspaces/blocks.ts";
import type { HydrationOptions } from "../workspaces/hydration.ts";
import type { SandboxStore } from "./sandbox-record.ts";

/** What sandboxes are made of. */
export interface SandboxDeps extends CloneDeps {
  readonly blocks: Blocks;
  readonly store: SandboxStore;
  /** Of the node: named to people when there is no room in it. */
  readonly dataDirectory: string;
  readonly templates: Pick<TemplateStore, "get">;
  readonly accelerator: Accelerator;
  readonly runtimeDigest: string;
  readonly egress: Egress;
  readonly egressWatch: EgressWatch;
  readonly capacity: Capacity;
  /** Wakes take their place among the starts of jobs. */
  readonly gate: Gate;
  readonly guests: Guests;
  readonly hydration: HydrationOptions;
  readonly report: (update: NodeUpdate) => void;
}

/** The microVM of a sandbox that is awake. */
export interface Awake {
  readonly microVm: MicroVm;
  readonly agent: AgentConnection;
  /** Of one that was taken over: resolves when its agent has answered, and what ran in it was taken up; also when it is lost. */
  readonly takenUp?: Promise<void>;
}
