/** From a job that was just submitted to a URL at which its web server answers. */
import { setTimeout as delay } from "node:timers/promises";
import { MagsError } from "../../sdk/errors.ts";
import type { Mags } from "../../sdk/mags.ts";
import type { HttpAccess } from "../../sdk/wire.generated.ts";
import { type Answer, answersAt } from "./answers.ts";

export interface UrlWait {
  readonly port: number | undefined;
  /** Called with why there is no answer yet, when that is another reason than before. */
  readonly onProblem: (problem: string) => void;
  readonly signal: AbortSignal;
}

const PAUSE_MS = 500;

/** @throws MagsError why there can be no URL; the signal's reason */
export async function untilAnswers(mags: Mags, id: string, { port, onProblem, signal }: UrlWait): Promise<HttpAccess> {
  const access = await accessTo(mags, id, { port, signal });
  let told: string | undefined;
  for (;;) {
    const answer: Answer = await answersAt(access.url, { signal });
    if (answer.answers) return access;
    if (answer.problem !== told) onProblem(answer.problem);
    told = answer.problem;
    await delay(PAUSE_MS, undefined, { signal });
  }
}

/** Waits for the VM as long as need be. */
async function accessTo(mags: Mags, id: string, { port, signal }: Omit<UrlWait, "onProblem">): Promise<HttpAccess> {
  for (;;) {
    signal.throwIfAborted();
    try {
      return await mags.url(id, { port });
    } catch (error) {
      if (!(error instanceof MagsError) || error.code !== "no_vm") throw error;
    }
  }
}
