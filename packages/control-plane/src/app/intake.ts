import { AppError } from "@mags/core";

/** The door through which new jobs come. Once closed it stays closed. */
export interface Intake {
  /**
   * Runs `work`, which takes one job.
   * @throws AppError `unavailable` when no more jobs are taken.
   */
  take<T>(work: () => Promise<T>): Promise<T>;
  /** Takes no more jobs; resolves when those under way are with the node or refused. */
  close(): Promise<void>;
}

export function createIntake(): Intake {
  const underWay = new Set<Promise<unknown>>();
  let open = true;
  return {
    async take(work) {
      if (!open) throw new AppError("unavailable", "the server is stopping and takes no more jobs: try again later");
      const taking = work();
      underWay.add(taking);
      try {
        return await taking;
      } finally {
        underWay.delete(taking);
      }
    },
    async close() {
      open = false;
      await Promise.allSettled(underWay);
    },
  };
}
