/** Signing in with a key, the only way there is. Whoever may not hears nothing of why. */
import { isAppError } from "@mags/core";
import { fingerprintOf, type SshDirectory, type SshPublicKey, type SshSignIn, type SshUser } from "@mags/domain";
import type { AuthContext, Connection, ParsedKey } from "ssh2";
import ssh2 from "ssh2";
import { KEY_TYPES } from "./algorithms.ts";

const NO_ROOM = "the account has as many SSH connections as it may: end one of them, and try again";
const NO_SERVER = "the server of Mags cannot be reached now: try again";
const BROKEN = "signing in failed for a reason of the server's: try again";

/** For each attempt: whether a key is good, and the signature. */
const MOST_QUESTIONS = 2;

type PublicKeyContext = Extract<AuthContext, { readonly method: "publickey" }>;

export interface SignInDeps {
  readonly directory: SshDirectory;
  readonly port: number;
  readonly clientAddress: string;
  /** What the connection is called in the audit log. */
  readonly connection: string;
  readonly attempts: number;
  /** @returns false: his account has as many connections as it may. */
  readonly isRoomFor: (user: SshUser) => boolean;
  /** Ends the connection, with a text for the user. */
  readonly end: (why: string) => void;
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
  let asked = 0;
  let refused = 0;
  /** Questions whether a key is good that were answered with yes, and that no signature has followed. */
  let unsigned = 0;
  /** For the audit log: once a connection, when nobody has signed in. */
  let last: { readonly login: string; readonly fingerprint: string } | undefined;

  async function check(context: AuthContext): Promise<SshUser | "known" | null> {
    if (context.method !== "publickey" || !KEY_TYPES.has(typeOf(context))) return null;
    const parsed = parse(context.key.data);
    // Of another type the signature would be another than was said.
    if (parsed?.type !== context.key.algo) return null;
    const key = keyOf(context.key.algo, context.key.data);
    const login = context.username;
    last = { login, fingerprint: key.fingerprint };
    const attempt: SshSignIn = { login, key, port, clientAddress };
    const user = await directory.find(attempt, { signal });
    // Before anything is answered, so that all answers take the same time.
    const isHis = context.signature !== undefined && isSigned(context, parsed);
    if (!user) return null;
    if (context.signature === undefined) return "known";
    return isHis ? user : null;
  }

  function answer(context: AuthContext, found: SshUser | "known" | null): void {
    if (signal.aborted) return;
    const login = context.username;
    if (found && found !== "known") {
      last = undefined;
      if (!deps.isRoomFor(found)) {
        const data = { reason: "too_many_connections", fingerprint: found.fingerprint };
        directory.note({ what: "refused", login, clientAddress, user: found, data });
        deps.end(NO_ROOM);
        return;
      }
      directory.note({ what: "signed_in", login, clientAddress, user: found, data: { connection: deps.connection } });
      done.resolve({ login, user: found });
    }
    if (found === "known") unsigned++;
    else unsigned = Math.max(0, unsigned - 1);
    // The first question of every client is what there is.
    const isFailure = !found && (context.method !== "none" || asked > 1);
    if (isFailure && ++refused >= deps.attempts) client.end();
    else if (found) context.accept();
    else context.reject(["publickey"]);
  }

  client.on("authentication", (context) => {
    if (++asked > MOST_QUESTIONS * deps.attempts) return void client.end();
    check(context)
      .then((found) => answer(context, found))
      .catch((error: unknown) => deps.end(isAppError(error, "unavailable") ? NO_SERVER : BROKEN));
  });
  signal.addEventListener("abort", () => {
    if (!last) return;
    const { login, fingerprint } = last;
    directory.note({
      what: "refused",
      login,
      clientAddress,
      user: null,
      data: { fingerprint, attempts: refused + unsigned },
    });
  });
  return done.promise;
}

/** A key of RSA comes as such, with the hash of the signature beside it. */
function typeOf({ key, hashAlgo }: PublicKeyContext): string {
  return hashAlgo === undefined ? key.algo : `rsa-sha2-${hashAlgo.replace(/^sha/, "")}`;
}

function parse(blob: Buffer): ParsedKey | undefined {
  const parsed = ssh2.utils.parseKey(blob);
  return parsed instanceof Error ? undefined : [parsed].flat()[0];
}

function isSigned({ blob, signature, hashAlgo }: PublicKeyContext, key: ParsedKey): boolean {
  if (!blob || !signature) return false;
  // Of a signature that is none ssh2 gives an error, not an answer.
  return (key.verify(blob, signature, hashAlgo) as boolean | Error) === true;
}

export function keyOf(type: string, blob: Buffer): SshPublicKey {
  return { type, blob, fingerprint: fingerprintOf(blob) };
}
