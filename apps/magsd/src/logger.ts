import type { LogFields, Logger } from "@mags/core";
import { type Level, type Logger as Pino, pino } from "pino";
import type { LogSink } from "./log-file.ts";

export interface ServerLogger extends Logger {
  /** What ends the process. `error` is logged with its stack and what caused it. */
  fatal(event: string, fields: LogFields & { readonly error: unknown }): void;
}

/** The server's log: one JSON object a line, on stdout where no other sink is given. */
export function createLogger(level: Level, sink?: LogSink): ServerLogger {
  const options = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  const target = sink ? pino(options, sink) : pino(options);
  return {
    ...wrap(target),
    fatal: (event, { error, ...fields }) =>
      target.fatal({ event, ...fields, error: pino.stdSerializers.errWithCause(asError(error)) }),
  };
}

function wrap(target: Pino): Logger {
  const at = (level: Level) => (event: string, fields?: LogFields) => target[level]({ event, ...fields });
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    child: (fields) => wrap(target.child(fields)),
  };
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
