/** A file of host keys, as ssh reads them: one line for each address. */

/** @param hostKey  Type and key. @returns the text with that as the only key of the address. */
export function withHostKey(
  text: string,
  { host, port, hostKey }: { readonly host: string; readonly port: number; readonly hostKey: string },
): string {
  const address = port === 22 ? host : `[${host}]:${port}`;
  const others = text.split("\n").filter((line) => line !== "" && !line.startsWith(`${address} `));
  return [...others, `${address} ${hostKey}`, ""].join("\n");
}
