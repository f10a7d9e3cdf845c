/** SSH keys of the account: what the client asks of them. */
import { clientError, MagsError } from "./errors.ts";
import type { Transport } from "./transport.ts";
import type { AddSshKey, ChallengeSshKey, Done, SshKey, SshKeyChallenge, SshKeys } from "./wire.generated.ts";

export interface AddSshKeyOptions {
  /** Default: the comment of the key. */
  readonly name?: string | undefined;
  /**
   * Shows that the key is the account's to use: signs this text with it, as `ssh-keygen -Y sign -n mags-key` does. Called
   * once. @returns the signature, armored.
   */
  readonly sign: (challenge: string) => string | Promise<string>;
}

/** Public keys by which whoever has this account signs in to its VMs. */
export interface AccountSshKeys {
  /** Longest there first. */
  list(): Promise<SshKeys>;
  /**
   * @param publicKey  The line of a `.pub` file: Ed25519, ECDSA, or RSA of 2048 bits and more.
   * @throws MagsError 400 that says what is wrong with the key or the signature, 409 when the key or its name is there,
   * `unexpected_reply` when the signature would be for another server: nothing is signed.
   */
  add(publicKey: string, options: AddSshKeyOptions): Promise<SshKey>;
  /**
   * @param which  Id, fingerprint or name.
   * @throws MagsError `ssh_key_not_found`.
   */
  remove(which: string): Promise<Done>;
}

const PATH = "/ssh-keys";

export function createAccountSshKeys(transport: Transport): AccountSshKeys {
  return {
    list: () => transport.json({ method: "GET", path: PATH }),
    async add(publicKey, { name, sign }) {
      const { apiUrl } = transport;
      const server = new URL(apiUrl).host;
      const asked: ChallengeSshKey = { public_key: publicKey, server };
      const path = `${PATH}/challenge`;
      const { challenge } = await transport.json<SshKeyChallenge>({ method: "POST", path, body: asked });
      // A server could pass on what another one asks for, and have the key on an account there.
      if (typeof challenge !== "string" || !challenge.startsWith(`mags-key server=${server} `))
        throw clientError(
          "unexpected_reply",
          `${apiUrl} asks for a signature that is not for ${server}: nothing was signed. It is older than this program, or passes on what another server asks for`,
        );
      const signature = await sign(challenge);
      const body: AddSshKey = { public_key: publicKey, challenge, signature, ...(name !== undefined && { name }) };
      return await transport.json({ method: "POST", path: PATH, body });
    },
    async remove(which) {
      // No text that cannot stand in a path is one of them.
      if (/^\.{0,2}$/.test(which))
        throw new MagsError(`there is no SSH key "${which}"`, { statusCode: 404, code: "ssh_key_not_found" });
      return await transport.json({ method: "DELETE", path: `${PATH}/${encodeURIComponent(which)}` });
    },
  };
}
