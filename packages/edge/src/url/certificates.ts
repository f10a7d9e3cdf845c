/** The certificates of the gateway: which one a client is shown goes by the name that it asks for. */
import { X509Certificate } from "node:crypto";
import { createSecureContext, type SecureContext } from "node:tls";
import { AppError, messageOf } from "@mags/core";

export interface CertificateFiles {
  /** PEM; what follows the first are those that it leads to. */
  readonly certificate: string;
  /** PEM. */
  readonly key: string;
}

export interface Certificates {
  /** For clients that ask for no name. May change. */
  readonly first: CertificateFiles;
  /** Of the name that a client asks for; the first one where none is of that name. */
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

/** @throws AppError `validation_failed` where there is none, or one and its key cannot be read or do not belong together */
export function createCertificates(given: readonly CertificateFiles[]): Certificates {
  let all = readyOf(given);
  const listeners = new Set<() => void>();
  return {
    get first() {
      return all[0].files;
    },
    choose(name, done) {
      done(null, (all.find(({ names }) => names.checkHost(name) !== undefined) ?? all[0]).context);
    },
    replace(files) {
      all = readyOf(files);
      for (const listener of listeners) listener();
    },
    onReplaced: (listener) => void listeners.add(listener),
  };
}

function readyOf(all: readonly CertificateFiles[]): readonly [Ready, ...Ready[]] {
  const [first, ...others] = all.map((files): Ready => {
    const { certificate, key } = files;
    try {
      return {
        files,
        names: new X509Certificate(certificate),
        context: createSecureContext({ cert: certificate, key }),
      };
    } catch (cause) {
      const message = `a certificate, or the key of one, cannot be used: ${messageOf(cause)}`;
      throw new AppError("validation_failed", message, { cause });
    }
  });
  if (!first) throw new AppError("validation_failed", "there is no certificate");
  return [first, ...others];
}
