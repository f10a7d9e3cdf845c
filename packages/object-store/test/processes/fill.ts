/** Fills the disk of a folder with objects and prints, as JSON, what is there afterwards. */
import { readdir } from "node:fs/promises";
import { isAppError, messageOf } from "@mags/core";
import { makeFileStore, openFileStore } from "@mags/object-store";
import { collectAll } from "@mags/test-kit";

const directory = process.argv[2] ?? "";
await makeFileStore(directory);
const store = await openFileStore(directory);
const bytes = Buffer.alloc(100_000, 1);
let refused: { readonly code: string; readonly message: string } | undefined;
for (let number = 0; !refused && number < 1_000; number++)
  await store.put(`${number}/object`, bytes).catch((error: unknown) => {
    refused = { code: isAppError(error) ? error.code : "none", message: messageOf(error) };
  });
const listed = await collectAll(store.list(""));
const left = { unfinished: await readdir(`${directory}/new`), folders: await readdir(`${directory}/tree`) };
await store.delete(listed[0]?.key ?? "");
await store.put("again", bytes);
process.stdout.write(JSON.stringify({ refused, sizes: listed.map(({ sizeBytes }) => sizeBytes), ...left }));
