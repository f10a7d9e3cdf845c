import { isAlive, type ProcessIdentity } from "./process-identity.ts";
import { sleep } from "./wait.ts";

/** SIGKILL, then waits until the process is gone. Killing a process that is gone is no error. */
export async function killAndWait(identity: ProcessIdentity, deadlineMs = 10_000): Promise<void> {
  for (let waited = 0; await isAlive(identity); waited += 5) {
    if (waited > deadlineMs) throw new Error(`process ${identity.pid} did not end within ${deadlineMs} ms of SIGKILL`);
    try {
      process.kill(identity.pid, "SIGKILL");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
    await sleep(5);
  }
}
