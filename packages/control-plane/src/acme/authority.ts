/** A certificate authority that speaks ACME (RFC 8555), and checks hosts over HTTP. */
import { generateKeyPairSync } from "node:crypto";
import { AppError, Secret, withDeadline } from "@mags/core";
import acme from "acme-client";
import type { CertificateAuthority } from "../app/url-certificates.ts";
import type { UrlServiceConfig } from "../app/url-service.ts";

type AcmeConfig = Pick<NonNullable<UrlServiceConfig["acme"]>, "directoryUrl" | "email">;

/** Until it has looked at the host and signed: it looks several times. */
const OBTAIN_MS = 180_000;

/** PEM. */
export const newAcmeAccountKey = (): Secret =>
  new Secret(
    generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  );

/** Makes the account when the first certificate is asked for. */
export function createAcmeAuthority({ directoryUrl, email }: AcmeConfig, accountKey: Secret): CertificateAuthority {
  const client = new acme.Client({ directoryUrl, accountKey: accountKey.reveal() });
  return {
    async obtain(host, publish) {
      const key = await acme.crypto.createPrivateEcdsaKey("P-256");
      const [, csr] = await acme.crypto.createCsr({ altNames: [host] }, key);
      const given = client.auto({
        ...{ csr, termsOfServiceAgreed: true, ...(email !== undefined && { email }) },
        // Whether this machine reaches the host tells nothing of whether the authority does.
        ...{ skipChallengeVerification: true, challengePriority: ["http-01"] },
        challengeCreateFn: (_authorization, { token }, answer) => publish({ token, answer }),
        challengeRemoveFn: async () => {}, // whoever has asked forgets what it has published
      });
      const late = () => new AppError("unavailable", `${directoryUrl} gives no certificate in ${OBTAIN_MS / 1000} s`);
      return { certificate: await withDeadline(given, OBTAIN_MS, late), key: new Secret(key.toString()) };
    },
  };
}
