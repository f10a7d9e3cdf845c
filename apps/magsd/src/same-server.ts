/** Wildcards of `listen.host`: loopback reaches such a server, too. */
const ANY_ADDRESS = new Set(["0.0.0.0", "[::]"]);

/** Whether a client whose configuration has `url` talks to the server with the addresses `own`. */
export function isSameServer(url: string, own: readonly string[]): boolean {
  const wanted = originOf(url);
  return wanted !== undefined && own.some((address) => originOf(address) === wanted);
}

/** Scheme, host and port, with one spelling for this machine; undefined for what is no address. */
function originOf(text: string): string | undefined {
  if (!URL.canParse(text)) return undefined;
  const { hostname, port, protocol } = new URL(text);
  const local = hostname === "localhost" || ANY_ADDRESS.has(hostname);
  return `${protocol}//${local ? "127.0.0.1" : hostname}:${port}`;
}
