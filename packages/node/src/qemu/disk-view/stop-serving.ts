import { AppError, isAppError } from "@mags/core";
import { z } from "zod";
import type { Qmp } from "../qmp.ts";

const ExportsReply = z.array(z.object({ id: z.string() }));

/** QEMU does not tell whether it serves, and refuses to stop when it does not. That it does not is what is checked. */
export async function stopServing(qmp: Qmp): Promise<void> {
  await qmp.execute("nbd-server-stop").catch((error: unknown) => {
    if (!isAppError(error, "internal")) throw error;
  });
  const [left] = await qmp.query("query-block-exports", ExportsReply);
  if (left) throw new AppError("internal", `QEMU still exports "${left.id}"`);
}
