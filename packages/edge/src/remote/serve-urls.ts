/** Calls about URLs, at the server. */
import { AppError } from "@mags/core";
import type { UrlRegister } from "@mags/domain";
import { z } from "zod";
import { decode } from "./json.ts";
import type { ServerCall } from "./server-call.ts";
import { AskedCertificate, AskedChallenge, Certificate, Route, Visit } from "./url-messages.ts";

/** @throws AppError `not_supported`: the server has none */
export function urlsOf({ upstream: { urls } }: Pick<ServerCall, "upstream">): UrlRegister {
  if (!urls) throw new AppError("not_supported", "this server serves no URLs: its configuration says so");
  return urls;
}

/** The edge may then pass requests on to that port of the guest. */
export async function serveRoute(call: ServerCall): Promise<void> {
  const { asked, edge, signal, answer } = call;
  const route = await urlsOf(call).route(decode(Visit, asked), { signal });
  edge.grantPort(route.guest, route.port);
  await answer(z.encode(Route, route));
}

export async function serveCertificate(call: ServerCall): Promise<void> {
  const { host } = decode(AskedCertificate, call.asked);
  const found = await urlsOf(call).certificate(host, { signal: call.signal });
  await call.answer(found && z.encode(Certificate, found));
}

export async function serveChallenge(call: ServerCall): Promise<void> {
  const asked = decode(AskedChallenge, call.asked);
  await call.answer(await urlsOf(call).challenge(asked, { signal: call.signal }));
}
