import { type Cli, note, print, printJson } from "../cli.ts";
import { connect } from "../credentials.ts";
import { Failure } from "../failure.ts";
import { writeTable } from "../format.ts";

interface JsonFlag {
  readonly json?: boolean;
}

export interface LinkFlags extends JsonFlag {
  readonly port?: number;
  /** Seconds. */
  readonly expires?: number;
}

const MOST_SECONDS = 30 * 86_400;

export async function createLink(cli: Cli, name: string, { port, expires, json }: LinkFlags): Promise<number> {
  if (expires !== undefined && expires > MOST_SECONDS) throw new Failure("--expires: at most 30d");
  const mags = await connect(cli);
  const link = await mags.urlLinkCreate(name, { port, expiresIn: expires });
  if (json) {
    await printJson(cli, link);
    return 0;
  }
  await print(cli, `URL: ${link.url}`);
  const { url_private } = await mags.status(name);
  if (url_private === false)
    await note(cli, `The URL is public, and needs no link. Make it private: mags url ${name} --private`);
  await note(cli, `Until ${link.expires_at}. Revoke it with: mags url revoke ${name} ${link.id}`);
  await note(cli, `Programs send the header: mags-access: ${link.token}`);
  return 0;
}

export async function listLinks(cli: Cli, name: string, flags: JsonFlag): Promise<number> {
  const mags = await connect(cli);
  const reply = await mags.urlLinkList(name);
  if (flags.json) {
    await printJson(cli, reply);
    return 0;
  }
  if (reply.links.length === 0) {
    await note(cli, `There are no links to ${name}. Make one with: mags url link ${name}`);
    return 0;
  }
  const titles = ["LINK", "PORT", "MADE", "UNTIL", "REVOKED"].map((title) => cli.styles.stdout.bold(title));
  const rows = reply.links.map(({ id, port, created_at, expires_at, revoked_at }) => {
    return [id, String(port), created_at, expires_at, revoked_at ?? "-"];
  });
  await print(cli, writeTable([titles, ...rows]));
  return 0;
}

export async function revokeLink(cli: Cli, name: string, link: string, flags: JsonFlag): Promise<number> {
  const mags = await connect(cli);
  const reply = await mags.urlLinkRevoke(name, link);
  if (flags.json) await printJson(cli, reply);
  else await print(cli, reply.message);
  return 0;
}
