/**
 * The certificates of the gateway: which one a client is shown goes by the name that it asks for. The operator's own come
 * first; of others the directory is asked.
 */
import { X509Certificate } from "node:crypto";
import { createSecureContext, type SecureContext } from "node:tls";
import { AppError, messageOf } from "@mags/core";
import type { NamedCertificates } from "./named-certificates.ts";

export interface CertificateFiles {
  /** PEM; what follows the first are those that it leads to. */
  readonly certificate: string;
  /** PEM. */
  readonly key: string;
}

export interface Certificates {
  /** For clients that ask for no name. May change. Null: they are shown none. */
  readonly first: CertificateFiles | null;
  /** Of the name that a client asks for; the first one where none is of that name, an error where there is no such. */
  readonly choose: (name: string, done: (error: Error | null, context?: SecureContext) => void) => void;
  /** From now on these; connections that stand keep theirs. @throws AppError `validation_failed`: they stay as they are */
  replace(files: readonly CertificateFiles[]): void;
  /** Called after each change. */
  onReplaced(listener: () => void): void;
}

interface Ready {
  readonly files: CertificateFiles;
  readonly names: X509Certificate;
  readonly context: SecureContext;
}

/**
 * @param others  For names that none of those given is of.
 * @throws AppError `validation_failed` where one and its key cannot be read, or do not belong together
 */
export function createCertificates(given: readonly CertificateFiles[], others?: NamedCertificates): Certificates {
  let all = given.map(readyOf);
  const listeners = new Set<() => void>();

  async function find(name: string): Promise<SecureContext> {
    const own = all.find(({ names }) => names.checkHost(name) !== undefined);
    const found = own?.context ?? (await others?.find(name.toLowerCase())) ?? all[0]?.context;
    if (!found) throw new AppError("url_not_found", `there is no certificate for ${name}`);
    return found;
  }

  return {
    get first() {
      return all[0]?.files ?? null;
    },
    choose(name, done) {
      find(name).then(
        (context) => done(null, context),
        (error: Error) => done(error),
      );
    },
    replace(files) {
      all = files.map(readyOf);
      for (const listener of listeners) listener();
    },
    onReplaced: (listener) => void listeners.add(listener),
  };
}

function readyOf(files: CertificateFiles): Ready {
  return { files, names: namesOf(files), context: contextOf(files) };
}

/** @throws AppError `validation_failed` */
export function contextOf({ certificate, key }: CertificateFiles): SecureContext {
  return checked(() => createSecureContext({ cert: certificate, key }));
}

const namesOf = ({ certificate }: CertificateFiles) => checked(() => new X509Certificate(certificate));

function checked<T>(read: () => T): T {
  try {
    return read();
  } catch (cause) {
    const message = `a certificate, or the key of one, cannot be used: ${messageOf(cause)}`;
    throw new AppError("validation_failed", message, { cause });
  }
}
