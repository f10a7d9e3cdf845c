import type { Mags } from "../../sdk/mags.ts";
import type { HttpAccess } from "../../sdk/wire.generated.ts";
import { type Cli, note, print, printJson } from "../cli.ts";
import { connect } from "../credentials.ts";
import { Failure } from "../failure.ts";

export interface UrlFlags {
  readonly private?: boolean;
  readonly public?: boolean;
  readonly json?: boolean;
}

const SSH_PORT = 22;

export async function url(cli: Cli, name: string, port: number | undefined, flags: UrlFlags): Promise<number> {
  if (port === SSH_PORT) throw new Failure("port 22 is SSH, and has no URL", `Open a terminal with: mags ssh ${name}`);
  const isPrivate = flags.private ? true : flags.public ? false : undefined;
  const mags = await connect(cli);
  const access = await accessOf(mags, name, { port, isPrivate });
  if (flags.json) {
    await printJson(cli, access);
    return 0;
  }
  await print(cli, `URL: ${access.url}`);
  if (access.private) await note(cli, `It is private. A link that opens it: mags url link ${name}`);
  return 0;
}

interface Asked {
  readonly port: number | undefined;
  readonly isPrivate: boolean | undefined;
}

/** Who only says whom it is for leaves it where it leads. */
async function accessOf(mags: Mags, name: string, { port, isPrivate }: Asked): Promise<HttpAccess> {
  const before = port === undefined && isPrivate !== undefined ? await mags.status(name) : undefined;
  return await mags.url(name, { port: port ?? before?.url_port, private: isPrivate });
}
