/** Signing in with a key, the only way there is. Whoever may not hears nothing of why. */
import { fingerprintOf, type SshDirectory, type SshPublicKey, type SshSignIn, type SshUser } from "@mags/domain";
import type { AuthContext, Connection } from "ssh2";
import ssh2 from "ssh2";
import { KEY_TYPES } from "./algorithms.ts";

export interface SignInDeps {
  readonly directory: SshDirectory;
  readonly port: number;
  readonly clientAddress: string;
  readonly attempts: number;
  readonly signal: AbortSignal;
}

export interface SignedIn {
  /** As it was given. */
  readonly login: string;
  readonly user: SshUser;
}

/** Called once. Resolves with whoever has signed in; never when nobody does. */
export function awaitSignIn(client: Connection, deps: SignInDeps): Promise<SignedIn> {
  const { directory, port, clientAddress, signal } = deps;
  const done = Promise.withResolvers<SignedIn>();
  let refused = 0;

  async function check(context: AuthContext): Promise<SshUser | "known" | null> {
    if (context.method !== "publickey" || !KEY_TYPES.has(context.hashAlgo ?? context.key.algo)) return null;
    const key = keyOf(context.key.algo, context.key.data);
    const login = context.username;
    const attempt: SshSignIn = { login, key, port, clientAddress };
    const user = await directory.find(attempt, { signal });
    if (context.signature === undefined) return user && "known";
    const isHis = isSigned(context);
    if (!user || !isHis) {
      directory.note({ what: "refused", login, clientAddress, user: null, data: { fingerprint: key.fingerprint } });
      return null;
    }
    directory.note({ what: "signed_in", login, clientAddress, user, data: {} });
    return user;
  }

  client.on("authentication", (context) => {
    check(context).then(
      (found) => {
        if (found === "known") return context.accept();
        if (found) {
          done.resolve({ login: context.username, user: found });
          return context.accept();
        }
        // The first question of every client is what there is.
        if (context.method !== "none" && ++refused >= deps.attempts) client.end();
        else context.reject(["publickey"]);
      },
      () => client.end(),
    );
  });
  return done.promise;
}

function isSigned(context: Extract<AuthContext, { readonly method: "publickey" }>): boolean {
  const { key, blob, signature, hashAlgo } = context;
  const parsed = ssh2.utils.parseKey(key.data);
  if (parsed instanceof Error || !blob || !signature) return false;
  const [one] = [parsed].flat();
  // Of a signature that is none ssh2 gives an error, not an answer.
  return (one?.verify(blob, signature, hashAlgo) as boolean | Error | undefined) === true;
}

export function keyOf(type: string, blob: Buffer): SshPublicKey {
  return { type, blob, fingerprint: fingerprintOf(blob) };
}
