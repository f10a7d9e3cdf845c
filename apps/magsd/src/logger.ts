import type { LogFields, Logger } from "@mags/core";
import { type Level, type Logger as Pino, pino } from "pino";

/** The server's log: one JSON object a line on stdout. */
export function createLogger(level: Level): Logger {
  return wrap(
    pino({
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    }),
  );
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
