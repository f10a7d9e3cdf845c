import { MagsError } from "../sdk/errors.ts";
import type { Cli } from "./cli.ts";

/** Ends a command with exit code 1: what was wrong, and what to do about it. */
export class Failure extends Error {
  override readonly name = "Failure";
  readonly hint: string | undefined;

  constructor(message: string, hint?: string) {
    super(message);
    this.hint = hint;
  }
}

/** Tells of an error: one red line, then what to do. */
export async function report(cli: Cli, error: unknown): Promise<void> {
  const message = error instanceof Error ? error.message : String(error);
  const hint = error instanceof Failure ? error.hint : error instanceof MagsError ? hintFor(error) : undefined;
  const oneLine = message.replace(/^error: /, "").replace(/\s*\n\s*/g, " ");
  await cli.stderr.write(`${cli.styles.stderr.red(`error: ${oneLine}`)}\n${hint === undefined ? "" : `${hint}\n`}`);
}

function hintFor(error: MagsError): string | undefined {
  if (error.statusCode === 401) return "Sign in with: mags login";
  switch (error.code) {
    case "unreachable":
    case "timeout":
      return "Is the server running there? Start it with: magsd start\nAnother server: set MAGS_API_URL or run mags login.";
    case "too_many_requests":
    case "job_not_found":
      return "See your jobs with: mags list";
    default:
      return undefined;
  }
}
