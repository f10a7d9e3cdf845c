import { setTimeout as delay } from "node:timers/promises";
import { type Cli, note, print, printJson } from "../cli.ts";
import { connect } from "../credentials.ts";

export interface StopFlags {
  readonly force?: boolean;
  readonly json?: boolean;
}

const PAUSE_MS = 2_000;

/** Waits until it has stopped, and says what for. Whoever ends this command does not take the stop back. */
export async function stop(cli: Cli, name: string, { force, json }: StopFlags): Promise<number> {
  const mags = await connect(cli);
  let said = "";
  for (;;) {
    const reply = await mags.stop(name, { force });
    if (reply.stopped !== false) {
      if (json) await printJson(cli, reply);
      else await print(cli, reply.message ?? `Stopped ${name}`);
      return 0;
    }
    if (reply.message !== said) await note(cli, reply.message);
    said = reply.message;
    await delay(PAUSE_MS);
  }
}
