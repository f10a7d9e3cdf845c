/** The gateway of URLs as the configuration says. */
import { BlockList, isIPv6 } from "node:net";
import { AppError, messageOf } from "@mags/core";
import {
  type Certificates,
  createCertificates,
  createNamedCertificates,
  startUrlGateway,
  type UrlGateway,
} from "@mags/edge";
import type { UrlTask } from "./gateway/messages.ts";
import { hasTls } from "./url-config.ts";

export interface OpenUrls extends UrlGateway {
  /** Null: it has no TLS. */
  readonly certificates: Certificates | null;
}

/** A guest's agent has 256 streams: connections that rest may have 64 more, its owner's commands and SSH have the others. */
const VISITS_PER_GUEST = 160;

type Deps = Parameters<typeof startUrlGateway>[0];

/** @throws AppError `unavailable` that names the keys of the configuration when a port cannot be had. */
export async function openUrls(deps: Deps, task: UrlTask): Promise<OpenUrls> {
  const { config } = task;
  const { listen, plain, limits } = config;
  const certificates = hasTls(config) ? certificatesOf(deps, task) : null;
  try {
    const gateway = await startUrlGateway(deps, {
      ...{ ...listen, certificates, isTrusted: trustOf(config.trusted_proxies) },
      plain: plain && { ...plain, publicPort: config.public.port ?? null },
      limits: {
        connections: limits.connections,
        headerBytes: limits.header_kb * 1024,
        headMs: limits.head_seconds * 1000,
        silentMs: limits.silent_seconds * 1000,
        wakeMs: limits.wake_seconds * 1000,
        answerMs: limits.answer_seconds * 1000,
        visitsPerGuest: VISITS_PER_GUEST,
      },
    });
    return Object.assign(gateway, { certificates });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).syscall === undefined) throw cause;
    const { port } = cause as NodeJS.ErrnoException & { readonly port?: number };
    const key = plain && port === plain.port && port !== listen.port ? "urls.plain" : "urls.listen";
    const at = key === "urls.plain" && plain ? plain : listen;
    throw new AppError(
      "unavailable",
      `cannot listen on ${at.host}:${at.port} for URLs: ${messageOf(cause)}; set ${key} in the configuration, or urls.enabled to false`,
      { cause },
    );
  }
}

/** Those of the configuration, else those that the control plane has for a name. */
function certificatesOf({ directory, log }: Deps, { certificates }: UrlTask): Certificates {
  const clock = { nowMs: () => performance.now() };
  return createCertificates(certificates, createNamedCertificates({ directory, clock, log }));
}

/** Whether an address is in one of the networks. */
export function trustOf(networks: readonly string[]): (address: string) => boolean {
  const list = new BlockList();
  for (const network of networks) {
    const [address = "", length] = network.split("/");
    list.addSubnet(address, Number(length), isIPv6(address) ? "ipv6" : "ipv4");
  }
  return (address) => list.check(address, isIPv6(address) ? "ipv6" : "ipv4");
}
