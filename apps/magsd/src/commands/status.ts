import { placesOf } from "../installation.ts";
import { serverStatus } from "../server-process.ts";
import { type AcmeStatus, problemsOf, type ServerStatus } from "../status.ts";
import type { CommandContext } from "./context.ts";

/** @returns the exit code: 0 when the server is ready, 3 when it does not run (as service managers expect), 1 when it is not ready. */
export async function status(
  { config, unit, print }: CommandContext,
  options: { readonly json: boolean },
): Promise<number> {
  const found = await serverStatus(placesOf(config));
  if (options.json) print(JSON.stringify(found ?? { running: false }));
  else if (!found) print(`magsd is not running${await reasonOf(unit)}; start it with: magsd start`);
  else for (const line of linesOf(found)) print(line);
  if (!found) return 3;
  return found.ready ? 0 : 1;
}

/** What systemd knows of a server that ended. */
async function reasonOf(unit: CommandContext["unit"]): Promise<string> {
  const ended = await unit?.ended();
  return ended === undefined ? "" : ` (${ended})`;
}

function sshOf({ ssh, role, ...found }: Extract<ServerStatus, { readonly state: "running" }>): string {
  if (!ssh) return role === "edge" ? `not open yet: ${problemsOf(found)}` : "off";
  const down = ssh.problem === null ? "" : `; nobody can sign in: ${ssh.problem}`;
  return `${ssh.host}, port ${ssh.port}, host key ${ssh.fingerprint}${down}`;
}

function urlsOf({ urls, role, ...found }: Extract<ServerStatus, { readonly state: "running" }>): string {
  if (!urls) return role === "edge" && !found.ready ? `not open: ${problemsOf(found)}` : "off";
  const { scheme, domain, port, public_port, plain_port, problem, certificate_problem } = urls;
  const told =
    domain === null ? `${scheme}, port ${port}` : `${scheme}://<name>.${domain}:${public_port}, port ${port}`;
  const plain = plain_port === null ? "" : `, HTTP at port ${plain_port}`;
  const down = problem === null ? "" : `; nobody is served: ${problem}`;
  return `${told}${plain}${down}${certificate_problem === null ? "" : `; ${certificate_problem}`}`;
}

/** Of certificates, where it has some or asks for them. */
function tlsOf({ urls }: Extract<ServerStatus, { readonly state: "running" }>): string[] {
  const { certificates_end: end, acme } = urls ?? { certificates_end: null, acme: null };
  const parts = [...(end === null ? [] : [`files until ${dayOf(end)}`]), ...(acme ? [acmeOf(acme)] : [])];
  return parts.length === 0 ? [] : [`TLS:         ${parts.join("; ")}`];
}

function acmeOf({ valid, expired, missing, failing, first_end, newest_failure }: AcmeStatus): string {
  const first = first_end ? `, first until ${dayOf(first_end.at)} (${first_end.host})` : "";
  const newest = newest_failure ? `; ${failing} failing, newest ${newest_failure.host}: ${newest_failure.problem}` : "";
  return `ACME for ${valid} of ${valid + expired + missing} aliases${first}${newest}`;
}

const dayOf = (time: string) => time.slice(0, 10);

function linesOf(found: ServerStatus): string[] {
  const head = `magsd ${found.version}, pid ${found.pid}, since ${found.started_at}`;
  if (found.state !== "running") return [`${head}: ${found.state}`];
  const sshLine = `SSH:         ${sshOf(found)}`;
  const urlLine = `URLs:        ${urlsOf(found)}`;
  if (found.role === "edge") {
    const ready = found.ready ? head : `${head}: not ready: ${problemsOf(found)}`;
    return [ready, `Edge of:     ${found.upstream}`, sshLine, urlLine, ...tlsOf(found)];
  }
  const { pool, database, edges } = found;
  return [
    found.ready ? head : `${head}: not ready: ${problemsOf(found)}`,
    `API:         ${found.api_url}`,
    sshLine,
    urlLine,
    ...tlsOf(found),
    ...(edges ? [`Edges:       port ${edges.port}, ${edges.connected.length} connected`] : []),
    `Accelerator: ${found.accelerator}: ${found.accelerator_reason}`,
    `Database:    ${database.kind}${database.pid === null ? "" : `, pid ${database.pid}`}`,
    `Pool:        ${pool.idle_vms} idle of at least ${pool.min_pool_size}, ${pool.busy_vms} busy, ${pool.queued_jobs} jobs queued`,
  ];
}
