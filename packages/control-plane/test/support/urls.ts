/** What tests of URLs say again and again, to one control plane. */
import assert from "node:assert/strict";
import type { UrlServiceConfig } from "../../src/app/url-service.ts";
import type { TestPlane } from "./plane.ts";
import { type Body, JOBS } from "./sandboxes.ts";

export const URLS: UrlServiceConfig = {
  domain: "localhost",
  synonyms: ["apps.example"],
  public: () => ({ scheme: "http", port: 7780 }),
  ownCertificatesEnd: () => null,
  acme: null,
  ownDomains: { allowed: ["team.example"], dns: false, dnsServers: undefined },
};

export const ALIASES = "/api/v1/mags-url-aliases";

export function urlTests(plane: () => TestPlane) {
  const { signal } = new AbortController();
  const directory = () => plane().plane.urls ?? assert.fail("URLs are off");

  async function access(job: string, asked: Readonly<Record<string, unknown>> = {}): Promise<Body> {
    const { status, body } = await plane().admin.call("POST", `${JOBS}/${job}/access`, asked);
    assert.equal(status, 200, JSON.stringify(body));
    return body;
  }

  async function link(job: string, asked: Readonly<Record<string, unknown>> = {}): Promise<Body> {
    const { status, body } = await plane().admin.call("POST", `${JOBS}/${job}/url-links`, asked);
    assert.equal(status, 201, JSON.stringify(body));
    return body;
  }

  const route = (host: string, pass: string | null = null) => directory().route({ host, pass }, { signal });
  const refused = (host: string, pass: string | null = null) =>
    route(host, pass).then(
      () => assert.fail(`${host} leads somewhere`),
      (error) => `${error.code}: ${error.message}`,
    );

  return { access, link, route, refused, directory };
}
