export { type Clock, systemClock } from "./clock.ts";
export { AppError, ERROR_STATUS, type ErrorCode, isAppError, messageOf } from "./errors.ts";
export { createGate, type Gate } from "./gate.ts";
export { lockFile } from "./lock-file.ts";
export { type LogFields, type Logger, silentLogger } from "./log.ts";
export { bootId, identify, isAlive, type ProcessIdentity } from "./process-identity.ts";
export { Secret } from "./secret.ts";
export { createTurns } from "./turns.ts";
export { sleep, untilAborted, withDeadline } from "./wait.ts";
