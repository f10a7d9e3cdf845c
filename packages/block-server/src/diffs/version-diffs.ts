/** Compares versions, out of the cache as far as it has them: most of what is read is the same in both. */
import { createGate } from "@mags/core";
import type { ObjectStore } from "@mags/object-store";
import { diffVersions, type VersionDiff } from "@mags/workspace-files";
import { openVersion, type RecordSource } from "@mags/workspace-store";
import type { DiffCall } from "../calls.ts";

/** Each holds up to 64 MiB of what it reads, and the names of the folders it is in. */
const AT_A_TIME = 2;

export function createVersionDiffs(deps: {
  readonly store: ObjectStore;
  readonly records: (account: string) => RecordSource;
}) {
  const { store, records } = deps;
  const gate = createGate(AT_A_TIME);
  return async (call: DiffCall, { signal }: { readonly signal: AbortSignal }): Promise<VersionDiff> => {
    const leave = await gate.enter({ signal });
    try {
      const open = (name: DiffCall["before"]) =>
        openVersion(store, call, { name, records: records(call.account), signal });
      const { limit, from } = call;
      const options = { limit, signal, ...(from !== null && { after: from }) };
      return await diffVersions(await open(call.before), await open(call.after), options);
    } finally {
      leave();
    }
  };
}
