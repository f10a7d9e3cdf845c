import assert from "node:assert/strict";
import { copyFile, readFile, writeFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { createSeededRandom, debugfs, makeExt4Image, makeTempDir, replayJournal, seedFrom } from "@mags/test-kit";
import { openExt4 } from "../src/index.ts";
import { memorySource, openImage, signal } from "./harness.ts";

const BLOCK_BYTES = 1024;
const FIRST = 5_000;
const COUNT = 40;
/** With what a block of the journal begins: a block like that is escaped there. */
const MAGIC = Buffer.from("c03b3998", "hex");

const blocksOf = (bytes: Buffer) =>
  Array.from({ length: COUNT }, (_, n) =>
    bytes.toString("base64", (FIRST + n) * BLOCK_BYTES, (FIRST + n + 1) * BLOCK_BYTES),
  );

async function readBlocks(image: Buffer): Promise<string[]> {
  const disk = await openExt4(memorySource(image), { signal });
  const all: string[] = [];
  for (let n = 0; n < COUNT; n++)
    all.push((await disk.read((FIRST + n) * BLOCK_BYTES, BLOCK_BYTES, { signal })).toString("base64"));
  return all;
}

describe("a journal with changes", () => {
  for (const checksums of ["", "-c"])
    it(`is read as if it had been replayed ${checksums && "with checksums"}`, async () => {
      const seed = seedFrom(process.env.MAGS_SEED);
      const random = createSeededRandom(seed);
      await using dir = await makeTempDir();
      const image = `${dir.path}/img`;
      await makeExt4Image(image, { sizeMiB: 16, blockBytes: BLOCK_BYTES });
      const commands: string[] = [];
      for (let transaction = 0; transaction < 12; transaction++) {
        const blocks = [
          ...new Set(Array.from({ length: random.between(1, 8) }, () => FIRST + random.between(0, COUNT - 1))),
        ];
        if (random.chance(0.3)) {
          commands.push(`jw -r ${blocks.join(",")}`);
          continue;
        }
        const content = random.bytes(blocks.length * BLOCK_BYTES);
        if (random.chance(0.5)) MAGIC.copy(content);
        await writeFile(`${dir.path}/content${transaction}`, content);
        commands.push(`jw -b ${blocks.join(",")} ${dir.path}/content${transaction}`);
      }
      await debugfs(image, `jo ${checksums}`, ...commands, "jc");
      await copyFile(image, `${dir.path}/replayed`);
      await replayJournal(`${dir.path}/replayed`);
      const expected = blocksOf(await readFile(`${dir.path}/replayed`));
      assert.notDeepEqual(expected, blocksOf(await readFile(image)));
      assert.deepEqual(await readBlocks(await readFile(image)), expected, `seed ${seed}`);
    });

  it("is read up to the last transaction that is whole", async () => {
    await using dir = await makeTempDir();
    const image = `${dir.path}/img`;
    await makeExt4Image(image, { sizeMiB: 16, blockBytes: BLOCK_BYTES });
    const [one, two] = ["1", "2"].map((digit) => Buffer.alloc(BLOCK_BYTES, digit)) as [Buffer, Buffer];
    await writeFile(`${dir.path}/one`, one);
    await writeFile(`${dir.path}/two`, two);
    await debugfs(image, "jo -c", `jw -b ${FIRST} ${dir.path}/one`, `jw -b ${FIRST} ${dir.path}/two`, "jc");
    const bytes = await readFile(image);
    assert.equal((await readBlocks(bytes))[0], two.toString("base64"));
    const copy = bytes.lastIndexOf(two);
    bytes.writeUInt8(0, copy + 100);
    assert.equal((await readBlocks(bytes))[0], one.toString("base64"));
  });

  it("that only a kernel replays is refused, and the text says what to do", async () => {
    await using dir = await makeTempDir();
    const image = `${dir.path}/img`;
    await makeExt4Image(image, { sizeMiB: 16, blockBytes: BLOCK_BYTES });
    await writeFile(`${dir.path}/one`, Buffer.alloc(BLOCK_BYTES, 1));
    await debugfs(image, "jo", `jw -b ${FIRST} ${dir.path}/one`, "jc");
    const bytes = await readFile(image);
    const journal = bytes.indexOf(Buffer.from("c03b399800000004", "hex"));
    bytes.writeUInt32BE(bytes.readUInt32BE(journal + 0x28) | 0x20, journal + 0x28); // fast commits
    await writeFile(image, bytes);
    await assert.rejects(openImage(image), { code: "not_supported", message: /run fsck -f on it/ });
  });
});
