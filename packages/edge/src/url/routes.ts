/** What the directory says of hosts, kept for a moment: not each request asks it. */
import type { UrlDirectory, UrlRoute, UrlVisit } from "@mags/domain";

export interface Routes {
  /** @throws as the directory */
  find(visit: UrlVisit): Promise<UrlRoute>;
}

interface Kept {
  readonly route: Promise<UrlRoute>;
  readonly askedMs: number;
}

/** So late, at most, is seen that a URL leads elsewhere, or was closed. */
const KEPT_MS = 1_000;
const MOST_KEPT = 10_000;

export function createRoutes(
  directory: Pick<UrlDirectory, "route">,
  { clock, signal }: { readonly clock: { nowMs(): number }; readonly signal: AbortSignal },
): Routes {
  const all = new Map<string, Kept>();
  return {
    find(visit) {
      const name = `${visit.host} ${visit.pass ?? ""}`;
      const nowMs = clock.nowMs();
      const known = all.get(name);
      if (known && nowMs - known.askedMs < KEPT_MS) return known.route;
      all.delete(name);
      for (const [other, { askedMs }] of all) {
        if (all.size < MOST_KEPT && nowMs - askedMs < KEPT_MS) break; // the others are younger
        all.delete(other);
      }
      const route = directory.route(visit, { signal });
      const kept = { route, askedMs: nowMs };
      all.set(name, kept);
      // Whoever asks next may find it otherwise.
      route.catch(() => all.get(name) === kept && all.delete(name));
      return route;
    },
  };
}
