/**
 * What a server says of SSH, before it is written where ssh reads it, or given to ssh: in a configuration a line end or a
 * blank more than expected is another option, which may name a program to run.
 */
import { Failure } from "../failure.ts";
import { isName } from "./sandbox-name.ts";

export interface SshServer {
  readonly host: string;
  readonly port: number;
  /** Type and key, as in a line of `known_hosts`. */
  readonly hostKey: string;
  readonly fingerprint: string;
}

const HOST = /^[A-Za-z0-9:][A-Za-z0-9._:-]{0,252}$/;
const HOST_KEY = /^[a-z0-9][a-z0-9@.-]{0,63} [A-Za-z0-9+/]{16,16384}={0,2}$/;
const FINGERPRINT = /^SHA256:[A-Za-z0-9+/]{43}$/;
const MOST_PORT = 65_535;

/** @throws Failure that says what is wrong. @returns it as it is. */
export function checkServer(server: SshServer): SshServer {
  const { host, port, hostKey, fingerprint } = server;
  if (!matches(HOST, host)) throw refused("host", host);
  if (!Number.isInteger(port) || port < 1 || port > MOST_PORT) throw refused("port", port);
  if (!matches(HOST_KEY, hostKey)) throw refused("host key", hostKey);
  if (!matches(FINGERPRINT, fingerprint)) throw refused("fingerprint of its host key", fingerprint);
  return server;
}

/** @throws Failure when it is none. @returns it as it is. */
export function checkName(name: string): string {
  if (typeof name !== "string" || !isName(name)) throw refused("name", name);
  return name;
}

/** Replies are not checked before, whatever their types say. */
const matches = (pattern: RegExp, value: unknown) => typeof value === "string" && pattern.test(value);

function refused(what: string, value: unknown): Failure {
  return new Failure(
    `the server tells a ${what} that ssh is not given: ${(JSON.stringify(value) ?? "none").slice(0, 200)}`,
    "Nothing was written, and ssh was not started. Is it the server you mean? mags whoami tells which it is.",
  );
}
