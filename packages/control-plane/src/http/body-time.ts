import { AppError } from "@mags/core";
import type { FastifyInstance } from "fastify";

/** To receive the whole of a request that is read at once; uploads have a limit of their own. */
const BODY_MS = 60_000;

/** Ends connections whose requests do not arrive, so that nobody keeps them for nothing. */
export function limitBodyTime(app: FastifyInstance): void {
  app.addHook("onRequest", async ({ raw, routeOptions }, reply) => {
    const { headers } = raw;
    const hasBody = headers["transfer-encoding"] !== undefined || (headers["content-length"] ?? "0") !== "0";
    if (!hasBody || routeOptions.config.upload) return;
    const late = () => raw.destroy(new AppError("validation_failed", `no request takes more than ${BODY_MS / 1000} s`));
    const timer = setTimeout(late, BODY_MS);
    timer.unref();
    const arrived = () => clearTimeout(timer);
    raw.once("end", arrived);
    reply.raw.once("close", arrived);
  });
}
