/** Where in or from a guest a socket is: names become numbers, as the guest knows them. */
import { isIP } from "node:net";
import { AppError } from "@mags/core";
import type { GuestAddress } from "@mags/domain";
import type { AgentConnection } from "../agent/index.ts";

const LOOKUP_MS = 10_000;
/** What listens at `localhost` may do so by one of the two alone. */
const LOOPBACK = ["127.0.0.1", "::1"];
/** The first takes what comes by IPv4, too, where the guest has both: then the second is in use. */
const ALL = ["::", "0.0.0.0"];
const MOST_ADDRESSES = 4;
/** `getent` says so of a name that it does not know. */
const UNKNOWN_NAME = 2;
const HIGHEST_PORT = 65_535;

export type NumericAddress = { readonly path: string } | { readonly address: string; readonly port: number };

/** @throws AppError `validation_failed` when there can be no such address. */
export function checkAddress(address: GuestAddress, { lowestPort }: { readonly lowestPort: 0 | 1 }): void {
  if ("path" in address) return;
  const { host, port } = address;
  if (!Number.isInteger(port) || port < lowestPort || port > HIGHEST_PORT)
    throw new AppError("validation_failed", `a port is a number from ${lowestPort} to ${HIGHEST_PORT}`);
  if (host.includes("\0") || host.startsWith("-")) throw new AppError("validation_failed", "that is no name of a host");
  if (isIP(host) && host.includes("%"))
    throw new AppError("validation_failed", "addresses with a zone cannot be had in a guest");
}

/** One to four, in the order in which they are to be tried. @throws AppError `connection_refused` with the reason. */
export async function numericAddresses(
  agent: Pick<AgentConnection, "run">,
  address: GuestAddress,
  { signal }: { readonly signal: AbortSignal },
): Promise<readonly NumericAddress[]> {
  if ("path" in address) return [address];
  const { host, port } = address;
  const at = (addresses: readonly string[]) => addresses.map((one) => ({ address: one, port }));
  if (isIP(host)) return at([host]);
  if (host === "" || host === "*" || host === "localhost") return at(LOOPBACK);
  const result = await agent.run(
    { argv: ["getent", "ahosts", "--", host], timeoutMs: LOOKUP_MS, maxBytes: 4_096 },
    { signal },
  );
  const listed = [...result.stdout.toString().matchAll(/^(\S+)\s/gm)].map(([, first]) => first ?? "");
  const found = [...new Set(listed)].filter((one) => isIP(one) && !one.includes("%")).slice(0, MOST_ADDRESSES);
  if (result.exitCode === 0 && found.length > 0) return at(found);
  const why = result.exitCode === UNKNOWN_NAME ? "the guest does not know that name" : "the guest cannot look it up";
  throw new AppError("connection_refused", why);
}

/** Where to listen: on each that can be had. @throws as `numericAddresses` */
export async function listeningAddresses(
  agent: Pick<AgentConnection, "run">,
  at: GuestAddress,
  signals: { readonly signal: AbortSignal },
): Promise<readonly NumericAddress[]> {
  if ("path" in at) return [at];
  if (at.host === "" || at.host === "*") return ALL.map((address) => ({ address, port: at.port }));
  const found = await numericAddresses(agent, at, signals);
  return at.host === "localhost" ? found : found.slice(0, 1);
}
