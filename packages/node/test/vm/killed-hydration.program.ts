/**
 * A node that is killed at the end of a hydration: `node … OPTIONS VERSION`, both JSON. It makes a sandbox that stands on that
 * version, prints its id, and has itself killed when it is about to tell QEMU to let go of the base.
 */
import type { VersionRef } from "@mags/domain";
import { waitFor } from "@mags/test-kit";
import { killBeforeSending } from "./kill-before-sending.ts";
import { openSyncedNode } from "./synced-node.ts";

const isMoment = (message: string) => message.includes('"blockdev-reopen"') && message.includes('"backing":null');

const [options = "", version = ""] = process.argv.slice(2);
killBeforeSending(isMoment);
const node = await openSyncedNode(JSON.parse(options));
const id = await node.sandboxWith({ from: JSON.parse(version) as VersionRef });
process.stdout.write(id);
await waitFor(() => node.seen(id).hydrated && node.of(id).some(({ name }) => name === "hydrated"), {
  what: "a hydration, although nobody was killed",
  deadlineMs: 120_000,
});
await node[Symbol.asyncDispose]();
