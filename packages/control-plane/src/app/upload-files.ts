import type { FromGuest, ToGuest } from "@mags/domain";

/** The bytes of uploads, by id. */
export interface UploadFiles {
  /** Writes to a name of its own until `keep`. What fails leaves nothing. @returns the number of bytes. */
  write(id: string, content: ToGuest): Promise<number>;
  /** What was written is there, on stable storage. */
  keep(ids: readonly string[]): Promise<void>;
  /** @throws AppError `file_not_found` */
  open(id: string): Promise<{ readonly sizeBytes: number; readonly content: FromGuest<Uint8Array> }>;
  /** Removes what was written or kept. One that is not there is no error. */
  remove(id: string): Promise<void>;
  /** Ids of all that is kept. */
  list(): Promise<readonly string[]>;
  /** Names of what is being written. */
  readonly underWay: readonly string[];
}
