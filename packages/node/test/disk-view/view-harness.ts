/** A disk of a few blocks in a bare QEMU, and the model of what it should hold. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type RuntimeRoot, toolCommand } from "@mags/runtime-root";
import { findArtifacts, makeTempDir } from "@mags/test-kit";
import { NODE, readBlockGraph } from "../../src/qemu/disk-view/block-graph.ts";
import { type DiskViewOptions, openDiskView } from "../../src/qemu/disk-view/disk-view.ts";
import type { Qmp } from "../../src/qemu/qmp.ts";
import { type BareQemu, startBareQemu } from "./bare-qemu.ts";
import { BLOCK, createModelDisk, type ModelDisk } from "./model-disk.ts";
import { type ReadView, readView } from "./read-view.ts";

export const BLOCKS = 48;
export const SIZE = BLOCKS * BLOCK;
export const DEADLINE_MS = 60_000;

export interface ViewHarness extends AsyncDisposable {
  readonly qemu: BareQemu;
  readonly model: ModelDisk;
  /** Changes these blocks. */
  write(...blocks: number[]): Promise<void>;
  open(
    names: Pick<DiskViewOptions, "since" | "next" | "atMoment">,
    options?: { readonly qmp: Qmp; readonly sizeBytes?: number },
  ): Promise<ReadView>;
  /** Another QEMU with the same disk, once the first has ended. */
  startAgain(): Promise<void>;
  /** Nothing of a view is left, and of bitmaps this one, if any. */
  assertSettled(bitmap: string | null): Promise<void>;
}

export async function openViewHarness(): Promise<ViewHarness> {
  await using scope = new AsyncDisposableStack();
  const artifacts = findArtifacts();
  const runtime: RuntimeRoot = { dir: artifacts.runtime, launcher: artifacts.launcher };
  const { path } = scope.use(await makeTempDir());
  const create = ["create", "-q", "-f", "qcow2", join(path, "disk.qcow2"), String(SIZE)];
  const { file, args } = toolCommand(runtime, "/usr/bin/qemu-img", create);
  execFileSync(file, args);
  let qemu = await startBareQemu(runtime, path);
  scope.defer(() => qemu[Symbol.asyncDispose]());
  const model = createModelDisk(BLOCKS);
  const owned = scope.move();
  return {
    get qemu() {
      return qemu;
    },
    model,
    async write(...blocks) {
      for (const block of blocks) {
        const byte = 1 + ((model.content[block] ?? 0) % 250);
        await qemu.write(block * BLOCK, BLOCK, byte);
        model.write(block, byte);
      }
    },
    async open(names, { qmp, sizeBytes = SIZE } = { qmp: qemu.qmp }) {
      const deps = { qmp, runtime, place: qemu.place };
      return await readView(await openDiskView(deps, { ...names, sizeBytes }), names.since);
    },
    async startAgain() {
      await qemu[Symbol.asyncDispose]();
      qemu = await startBareQemu(runtime, path);
    },
    async assertSettled(bitmap) {
      const graph = await readBlockGraph(qemu.qmp);
      assert.deepEqual(
        graph.bitmaps,
        bitmap === null ? [] : [{ name: `since-${bitmap}`, recording: true, inconsistent: false }],
      );
      assert.deepEqual(
        Object.values(NODE).filter((name) => graph.nodes.has(name)),
        [NODE.slot],
      );
      for (const file of [qemu.place.socket, qemu.place.scratch.host]) assert.equal(existsSync(file), false, file);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
