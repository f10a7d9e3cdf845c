/** Requests that wait for their answers. */
import { AppError } from "@mags/core";
import type { FieldReader } from "./fields.ts";

export interface RequestOptions<T> {
  readonly id: number;
  readonly type: number;
  /** What the guest is asked to do, for messages. */
  readonly what: string;
  /** Called with the answer's fields when it comes. @throws ProtocolViolation */
  readonly decode: (fields: FieldReader) => T;
  readonly deadlineMs: number;
  readonly signal?: AbortSignal | undefined;
}

export interface PendingRequest {
  readonly type: number;
  readonly what: string;
  /** @throws ProtocolViolation when the answer cannot be understood. */
  answer(fields: FieldReader): void;
  reject(error: unknown): void;
}

export interface RequestTable {
  /**
   * Waits for an answer. Rejects with the signal's reason, or with AppError `guest_failed` when the deadline passes; an
   * answer that comes later is ignored.
   */
  add<T>(options: RequestOptions<T>): Promise<T>;
  get(id: number): PendingRequest | undefined;
  failAll(error: Error): void;
}

export function createRequestTable(): RequestTable {
  const pending = new Map<number, PendingRequest>();
  return {
    add<T>({ id, type, what, decode, deadlineMs, signal }: RequestOptions<T>): Promise<T> {
      return new Promise<T>((resolve, reject) => {
        function settle(): void {
          clearTimeout(timer);
          signal?.removeEventListener("abort", onAbort);
          pending.delete(id);
        }
        function fail(error: unknown): void {
          settle();
          reject(error);
        }
        const onAbort = () => fail(signal?.reason);
        const timer = setTimeout(
          () => fail(new AppError("guest_failed", `the guest did not ${what} within ${deadlineMs} ms`)),
          deadlineMs,
        );
        pending.set(id, {
          type,
          what,
          answer(fields) {
            const value = decode(fields);
            settle();
            resolve(value);
          },
          reject: fail,
        });
        if (signal?.aborted) onAbort();
        else signal?.addEventListener("abort", onAbort, { once: true });
      });
    },
    get: (id) => pending.get(id),
    failAll(error) {
      for (const request of [...pending.values()]) request.reject(error);
    },
  };
}
