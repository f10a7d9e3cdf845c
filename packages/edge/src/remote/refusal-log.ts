/** Tells of what was refused: of the first at once, then once a minute how many more there were. */
import type { LogFields, Logger } from "@mags/core";

export interface RefusalLog extends Disposable {
  /** @param refusal  Of many the last is told. */
  note(refusal: LogFields): void;
}

const EACH_MS = 60_000;

export function createRefusalLog(
  log: Pick<Logger, "info">,
  event: string,
  { eachMs = EACH_MS }: { readonly eachMs?: number } = {},
): RefusalLog {
  let more: { readonly last: LogFields; readonly count: number } | undefined;
  let timer: NodeJS.Timeout | undefined;

  function tell(refusal: LogFields): void {
    log.info(event, refusal);
    timer = setTimeout(tellMore, eachMs).unref();
  }
  function tellMore(): void {
    timer = undefined;
    const told = more;
    more = undefined;
    if (told) tell({ ...told.last, count: told.count });
  }

  return {
    note(refusal) {
      if (timer) more = { last: refusal, count: (more?.count ?? 0) + 1 };
      else tell(refusal);
    },
    [Symbol.dispose]() {
      clearTimeout(timer);
      timer = undefined;
      if (more) log.info(event, { ...more.last, count: more.count });
      more = undefined;
    },
  };
}
