/** What a disk of a few blocks should hold, and what of it changed: the same as QEMU's, by simpler means. */
import assert from "node:assert/strict";
import type { ReadView } from "./read-view.ts";

export const BLOCK = 64 * 1024;
const DEADLINE_MS = 60_000;

/** What a disk holds, a byte for each block, and which blocks have changed. */
export interface DiskState {
  readonly content: readonly number[];
  readonly changed: ReadonlySet<number>;
}

export interface ModelDisk {
  readonly content: readonly number[];
  /** So many writes there have been. */
  readonly writes: number;
  write(block: number, byte: number): void;
  /** What it is now, and what has changed since there were so many writes. */
  since(writes: number): DiskState;
}

export function createModelDisk(blocks: number): ModelDisk {
  const content: number[] = Array(blocks).fill(0);
  const written: number[] = [];
  return {
    content,
    get writes() {
      return written.length;
    },
    write(block, byte) {
      content[block] = byte;
      written.push(block);
    },
    since: (writes) => ({ content: [...content], changed: new Set(written.slice(writes)) }),
  };
}

/** Blocks that a view says have changed. */
export async function changedBlocks(view: ReadView): Promise<number[]> {
  const blocks = new Set<number>();
  for await (const { offset, length } of view.changes({ signal: AbortSignal.timeout(DEADLINE_MS) }))
    for (let at = offset; at < offset + length; at += BLOCK - (at % BLOCK)) blocks.add(Math.floor(at / BLOCK));
  return [...blocks];
}

/** The view holds what the model held: what it says has changed, and in all else no less than what has. */
export async function assertView(view: ReadView, model: DiskState): Promise<void> {
  const blocks = await changedBlocks(view);
  for (const block of model.changed)
    assert.ok(blocks.includes(block), `block ${block} has changed, and is not told of`);
  for (const block of blocks) {
    const bytes = await view.client.read(block * BLOCK, BLOCK, { signal: AbortSignal.timeout(DEADLINE_MS) });
    assert.ok(bytes.equals(Buffer.alloc(BLOCK, model.content[block])), `block ${block} is not what it was`);
  }
}
