export type LogFields = Readonly<Record<string, unknown>>;

/**
 * Structured log. `event` is a fixed dotted name (`microvm.start`), data are fields. `error` means that somebody
 * should act; an expected failure is `info`. Never log secrets, scripts or output.
 */
export interface Logger {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
  child(fields: LogFields): Logger;
}

export const silentLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLogger,
};
