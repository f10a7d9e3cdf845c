/**
 * What clients call this server. A key is added by a signature that names the server it was made for, and whoever asks
 * for it may be another server, which passes it on: neither what he says nor the `Host` that he sends tells this
 * server's name. That is the one of its configuration or, where it has none, the address that the request came to.
 */
import { isIPv6 } from "node:net";
import { AppError } from "@mags/core";

/** The end of a connection at the server. */
export interface ArrivalAddress {
  /** Numeric. */
  readonly address: string;
  readonly port: number;
}

/** What stands for the machine that one is on. */
const THIS_MACHINE = ["localhost", "0.0.0.0", "[::]"];

/**
 * @param asked  Host and port that the client reaches the server at, as in a URL; undefined: it does not say.
 * @returns  That in the form that URLs have, or the server's name.
 * @throws AppError `validation_failed` when the server does not know itself by that name.
 */
export function serverNameFor(
  asked: string | undefined,
  { publicUrl, arrival }: { readonly publicUrl: string | null; readonly arrival: ArrivalAddress },
): string {
  const own = publicUrl === null ? hostOf(literal(arrival)) : new URL(publicUrl).host;
  if (asked === undefined) return own;
  const name = hostOf(asked);
  if (name === own || (publicUrl === null && isThisMachine(name, own))) return name;
  throw new AppError(
    "validation_failed",
    publicUrl === null
      ? `server: this one does not know itself as ${JSON.stringify(asked)}: use the address it listens on, or have its operator set public_url`
      : `server: this one is reached at ${publicUrl}, not at ${JSON.stringify(asked)}: use that address`,
  );
}

function isThisMachine(name: string, own: string): boolean {
  const [named, arrived] = [new URL(`http://${name}`), new URL(`http://${own}`)];
  const isLoopback = arrived.hostname === "[::1]" || /^127\.[\d.]+$/.test(arrived.hostname);
  return isLoopback && named.port === arrived.port && THIS_MACHINE.includes(named.hostname);
}

function hostOf(text: string): string {
  const url = URL.canParse(`http://${text}`) ? new URL(`http://${text}`) : null;
  // Nothing but a host and a port: a path or a user would be lost.
  if (url === null || /[/?#@\\\s]/.test(text))
    throw new AppError("validation_failed", `server: ${JSON.stringify(text)} is no host as in a URL`);
  return url.host;
}

function literal({ address, port }: ArrivalAddress): string {
  const plain = address.replace(/^::ffff:(?=[\d.]+$)/, "").replace(/%.*$/, "");
  return `${isIPv6(plain) ? `[${plain}]` : plain}:${port}`;
}
