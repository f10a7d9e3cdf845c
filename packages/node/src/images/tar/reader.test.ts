import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { tarFile } from "../../../test/images/make-tar.ts";
import type { ByteSource } from "./byte-source.ts";
import { readTar, type TarEntry, type TarLimits } from "./reader.ts";

const NO_LIMITS: TarLimits = { count() {} };

function sourceOf(bytes: Buffer): ByteSource {
  return { length: bytes.length, read: async (offset, length) => bytes.subarray(offset, offset + length) };
}

async function read(bytes: Buffer, limits = NO_LIMITS): Promise<TarEntry[]> {
  const entries: TarEntry[] = [];
  for await (const entry of readTar(sourceOf(bytes), limits)) entries.push(entry);
  return entries;
}

describe("readTar", () => {
  it("says what an archive holds and where the contents lie", async () => {
    const bytes = tarFile([
      { path: "bin/", type: "5", mode: 0o755 },
      { path: "bin/sh", body: Buffer.from("content"), mode: 0o4755, uid: 3, gid: 4 },
      { path: "bin/ash", type: "2", linkPath: "sh" },
      { path: "dev/null", type: "3" },
    ]);
    const [folder, file, link, device] = await read(bytes);
    assert.deepEqual([folder?.type, file?.type, link?.type, device?.type], ["directory", "file", "symlink", "device"]);
    assert.deepEqual([file?.mode, file?.uid, file?.gid, file?.size], [0o4755, 3, 4, 7]);
    assert.equal(bytes.toString("utf8", file?.offset, (file?.offset ?? 0) + 7), "content");
    assert.equal(link?.linkPath, "sh");
  });

  it("takes long names, sizes, ids and attributes from extended headers, of POSIX and of GNU", async () => {
    const long = `${"d/".repeat(100)}ä`;
    const pax = { path: long, uid: "3000000000", mtime: "1700000000.5", "SCHILY.xattr.user.x": "a\nb=\0" };
    const [first, second] = await read(
      tarFile([
        { path: "short", pax: { ...pax, "SCHILY.xattr.trusted.overlay.opaque": "y" } },
        { path: "short", gnuLongName: long, body: Buffer.from("x") },
      ]),
    );
    const raw = Buffer.from(long).toString("latin1");
    assert.deepEqual([first?.path, first?.uid, first?.mtime], [raw, 3_000_000_000, 1_700_000_000]);
    assert.deepEqual([...(first?.xattrs ?? [])], [["user.x", Buffer.from("a\nb=\0")]]);
    assert.equal(second?.path, raw);
    assert.deepEqual(second?.xattrs, new Map(), "an extended header is for one entry");
  });

  it("refuses what is damaged, cut short or not to be understood, and says where", async () => {
    const whole = tarFile([{ path: "file", body: Buffer.alloc(2000, 1) }]);
    const damaged = Buffer.from(whole);
    damaged[3] = 0x7a;
    const cases: [Buffer, RegExp][] = [
      [Buffer.from("not an archive, whatever its name says, ".repeat(40)), /no tar archive.*byte 0/],
      [damaged, /no header at byte 0/],
      [whole.subarray(0, 1200), /cut short in the middle of "file"/],
      [whole.subarray(0, whole.length - 1024), /cut short: it ends at byte 2560/],
      [Buffer.alloc(0), /cut short/],
      [tarFile([{ path: "x", size: 2 ** 50 }]), /cut short in the middle of "x"/],
      [tarFile([{ path: "x", pax: { size: "-1" } }]), /bad size/],
      [tarFile([{ path: "x", pax: { uid: "abc" } }]), /bad uid/],
      [tarFile([{ path: "x", pax: { path: "a\0b" } }]), /zero byte/],
      [tarFile([{ path: "x", rawPax: Buffer.from("999 path=x\n") }]), /extended header at byte 512 is damaged/],
      [tarFile([{ path: "x", rawPax: Buffer.alloc(300_000, 0x31) }]), /300000 bytes, more than/],
      [tarFile([{ path: "x", pax: { "GNU.sparse.major": "1" } }]), /sparse/],
      [tarFile([{ path: "x", type: "S" }]), /sparse/],
      [tarFile([{ path: "x", type: "M" }]), /unknown type "M"/],
      [tarFile([{ path: "x", pax: { path: "p".repeat(5000) } }]), /more than 4095 bytes/],
    ];
    for (const [bytes, message] of cases) await assert.rejects(read(bytes), { code: "validation_failed", message });
  });

  it("stops at the first entry too many", async () => {
    let counted = 0;
    const limits: TarLimits = {
      count() {
        if (++counted > 3) throw new Error("too many");
      },
    };
    await assert.rejects(read(tarFile(Array.from({ length: 10 }, (_, n) => ({ path: `f${n}` }))), limits), /too many/);
    assert.equal(counted, 4);
  });
});
