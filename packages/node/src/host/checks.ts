/** What a node needs of its host, each tried rather than guessed. */
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { messageOf } from "@mags/core";
import { loadArtifacts } from "../images/artifacts.ts";
import { type CheckContext, fail, type HostCheck } from "./check.ts";
import { abandonedChecks } from "./check-leftovers.ts";
import { MACHINE_CHECKS } from "./machine-checks.ts";
import { NETWORK_CHECKS } from "./network-checks.ts";

export type HostCheckDeps = Omit<CheckContext, "artifacts">;

export async function hostChecks(deps: HostCheckDeps): Promise<HostCheck[]> {
  for (const left of await abandonedChecks(tmpdir())) await rm(join(tmpdir(), left), { recursive: true, force: true });
  const artifacts = await loadArtifacts(deps.artifactsFile).catch((error: Error) => error);
  const checks: HostCheck[] = [];
  for (const { name, look, cure } of [...MACHINE_CHECKS, ...NETWORK_CHECKS]) {
    const verdict = await look({ ...deps, artifacts }).catch((error: unknown) => fail(messageOf(error), cure));
    checks.push({ name, ...verdict });
  }
  return checks;
}
