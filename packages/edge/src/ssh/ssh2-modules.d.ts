/** Modules of ssh2 1.17.0 beside its interface. */
declare module "ssh2/lib/protocol/handlers.js" {
  /** What reads a message, by its number. */
  const handlers: ((protocol: object, payload: Buffer) => unknown)[];
  export = handlers;
}
