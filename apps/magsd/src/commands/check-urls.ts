/** What `magsd doctor` says of URLs, of a server as of an edge. */
import { lookup } from "node:dns/promises";
import { messageOf } from "@mags/core";
import type { ServerConfig } from "../config.ts";
import { placesOf } from "../installation.ts";
import type { UrlStatus } from "../status.ts";
import type { UrlConfig } from "../url-config.ts";
import { checkCertificates, SOME_LABEL } from "./check-certificates.ts";
import type { Finding } from "./check-object-store.ts";
import { whyTaken } from "./check-ssh.ts";

const name = "URLs";

/** @param status  Of one that runs. */
export async function checkUrls(config: ServerConfig, status: UrlStatus | null): Promise<Finding[]> {
  const { urls, role } = config;
  if (!urls.enabled) return [];
  return [
    ...(status ? [openFinding(status, config)] : await checkPorts(urls)),
    ...(await checkCertificates(config, { acme: status?.acme ?? null, now: new Date() })),
    ...(role === "edge" ? [] : [await checkDomain(urls)]),
  ];
}

function openFinding({ port, plain_port, problem }: UrlStatus, config: ServerConfig): Finding {
  if (problem !== null) return { name, state: "fail", found: problem, cure: `read ${placesOf(config).logFile}` };
  const ports = plain_port === null ? `port ${port} is` : `ports ${port} and ${plain_port} are`;
  return { name, state: "ok", found: `${ports} listened on` };
}

/** Of one that does not run. */
async function checkPorts({ listen, plain }: UrlConfig): Promise<Finding[]> {
  const places = [{ key: "urls.listen", at: listen }, ...(plain ? [{ key: "urls.plain", at: plain }] : [])];
  return Promise.all(
    places.map(async ({ key, at }): Promise<Finding> => {
      const taken = await whyTaken(at);
      if (!taken) return { name, state: "ok", found: `${at.host}:${at.port} is free` };
      const cure = `end what listens there, or set ${key}.port, or urls.enabled to false`;
      return { name, state: "fail", found: `its address cannot be used: ${taken}`, cure };
    }),
  );
}

/** Whether programs of this machine find what clients are told. */
async function checkDomain({ domain }: UrlConfig): Promise<Finding> {
  const host = `${SOME_LABEL}.${domain}`;
  try {
    const { address } = await lookup(host);
    return { name: "domain of URLs", state: "ok", found: `names below ${domain} lead to ${address}` };
  } catch (error) {
    const isLocal = /(^|\.)localhost$/.test(domain);
    const found = `programs do not find ${host}: ${messageOf(error)}`;
    const cure = isLocal
      ? "apt-get install libnss-myhostname; most browsers find it all the same"
      : `make a DNS record for *.${domain} that leads to urls.listen`;
    return { name: "domain of URLs", state: "warn", found, cure };
  }
}
