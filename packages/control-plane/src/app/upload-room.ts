/** Keeps the uploads of an account together within a limit, also while several are sent at a time. */
import { AppError } from "@mags/core";
import type { AccountId, ToGuest } from "@mags/domain";
import type { UploadRecords } from "./upload-records.ts";

/** What one request writes. Counts until `end`, so that it is counted at least once at any time. */
export interface UploadShare {
  /** Passes on what fits. @throws AppError `payload_too_large`, as its reader does */
  counted(content: ToGuest): Promise<ToGuest>;
  /** @throws AppError `payload_too_large` when it does not fit beside what was recorded meanwhile. */
  check(): Promise<void>;
  end(): void;
}

/** @param maxBytes  0: no limit. */
export function createUploadRoom(
  records: Pick<UploadRecords, "bytesOf">,
  maxBytes: number,
): { share(accountId: AccountId): UploadShare } {
  const underWay = new Map<AccountId, number>();

  function take(accountId: AccountId, bytes: number): void {
    const left = (underWay.get(accountId) ?? 0) + bytes;
    if (left === 0) underWay.delete(accountId);
    else underWay.set(accountId, left);
  }

  function refuseAbove(accountId: AccountId, recorded: number): void {
    if (maxBytes > 0 && recorded + (underWay.get(accountId) ?? 0) > maxBytes)
      throw new AppError(
        "payload_too_large",
        `uploads of this account may have at most ${maxBytes / 1_000_000} MB together: they go 24 hours after they came, or when a job that used them has ended; or have limits.account.upload_mb raised`,
      );
  }

  return {
    share(accountId) {
      let own = 0;
      return {
        async counted(content) {
          const recorded = maxBytes > 0 ? await records.bytesOf(accountId) : 0;
          return (async function* () {
            for await (const piece of content) {
              own += piece.length;
              take(accountId, piece.length);
              refuseAbove(accountId, recorded);
              yield piece;
            }
          })();
        },
        async check() {
          if (maxBytes > 0) refuseAbove(accountId, await records.bytesOf(accountId));
        },
        end() {
          take(accountId, -own);
          own = 0;
        },
      };
    },
  };
}
