import { ROUTES } from "@mags/api-schema";
import { type BoundRoute, bind } from "../http/route.ts";
import type { RouteDeps } from "./deps.ts";
import { eventToWire } from "./event-wire.ts";
import { findJob } from "./find-job.ts";

export function listEventsRoute({ store }: RouteDeps): BoundRoute {
  return bind(ROUTES.listEvents, async ({ params, account }) => {
    const job = await findJob(store, account.id, params.id);
    const events = await store.events(job.id, 0);
    return { events: events.map(eventToWire) };
  });
}
