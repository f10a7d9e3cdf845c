/**
 * A node that is killed while it holds a guest's file system still: `node … OPTIONS TARGET`, both JSON. It makes a sandbox in which
 * a script notes the time again and again on its disk, publishes it once, prints its id, and has itself killed in the middle
 * of the next publication: when it tells QEMU to take the view, with the guest frozen.
 */
import type { SyncTarget } from "@mags/domain";
import { NODE } from "../../src/qemu/disk-view/block-graph.ts";
import { killBeforeSending } from "./kill-before-sending.ts";
import { openSyncedNode } from "./synced-node.ts";

/** The disk is to be read and written through a filter from now on. */
const isMoment = (message: string) => message.includes('"blockdev-reopen"') && message.includes(`"${NODE.filter}"`);
const BEATS = `cat >/root/beat.sh <<'END'
while :; do date +%s%3N >>/root/beats; sync /root/beats; sleep 0.05; done
END
setsid sh /root/beat.sh </dev/null >/dev/null 2>&1 &`;

const [options = "", target = ""] = process.argv.slice(2);
const node = await openSyncedNode(JSON.parse(options));
const id = await node.sandboxWith({ syncTo: JSON.parse(target) as SyncTarget }, BEATS);
await node.sync(id);
process.stdout.write(id);

killBeforeSending(isMoment);
await node.sync(id);
