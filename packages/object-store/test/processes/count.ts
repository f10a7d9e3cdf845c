/** Counts up in one object of a folder, with others that do the same, until it is killed; prints what it wrote. */
import { isAppError } from "@mags/core";
import { openFileStore } from "@mags/object-store";

const store = await openFileStore(process.argv[2] ?? "");
for (;;) {
  const { bytes, etag } = await store.get("a/count");
  const next = String(Number(bytes.toString()) + 1);
  try {
    await store.put("a/count", Buffer.from(next), { ifMatch: etag });
    process.stdout.write(`${next}\n`);
  } catch (error) {
    if (!isAppError(error, "precondition_failed")) throw error;
  }
}
