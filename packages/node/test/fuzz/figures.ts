/** `node figures.ts FRAMES`: prints how many frames and lines a second the fuzzers get through, as JSON. */
import { seedFrom } from "@mags/test-kit";
import { fuzzAgent } from "./agent-fuzz.ts";
import { fuzzGuestAgent } from "./guest-agent-fuzz.ts";
import { fuzzQmp } from "./qmp-fuzz.ts";

const options = { seed: seedFrom(process.env.FUZZ_SEED), frames: Number(process.argv[2]) };
const perSecond = (run: { readonly frames: number; readonly elapsedMs: number }) =>
  Math.round((run.frames / run.elapsedMs) * 1_000);

const figures = {
  "frames at the host's side of the agent protocol": perSecond(await fuzzAgent(options)),
  "lines at the client of QEMU's machine protocol": perSecond(await fuzzQmp(options)),
  "frames at the agent": perSecond(await fuzzGuestAgent("agent", options)),
  "frames at the agent with sanitizers": perSecond(await fuzzGuestAgent("agent-asan", options)),
};
process.stdout.write(`${JSON.stringify(figures)}\n`);
