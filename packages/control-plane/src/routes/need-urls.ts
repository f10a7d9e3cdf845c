import { AppError } from "@mags/core";
import type { UrlService } from "../app/url-service.ts";

/** @throws AppError `not_supported` where there are none */
export function needUrls(urls: UrlService | null): UrlService {
  if (!urls) throw new AppError("not_supported", "this server has no URLs: urls.enabled is false in its configuration");
  return urls;
}
