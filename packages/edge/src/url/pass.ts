/** What opens a private URL, as clients show it: in a link, from then on in a cookie, and programs in a header. */
import { type FrontRequest, type FrontResponse, sendWhole } from "./front-response.ts";

/** Of the header and the parameter of a link. */
const NAME = "mags-access";
/** Over TLS a browser takes it only from this very host. */
const COOKIES = [`__Host-${NAME}`, NAME] as const;

/** Of headers and cookies that are for the gateway: guests neither get nor set them. */
export const OWN_NAMES: ReadonlySet<string> = new Set([NAME, ...COOKIES.map((name) => name.toLowerCase())]);

export interface Pass {
  readonly text: string;
  /** The target without it, when it came in that. */
  readonly cleanTarget: string | null;
}

/** The first that there is: in the target, in the header, in a cookie. */
export function passOf({ headers }: FrontRequest, target: string): Pass | null {
  const [path = "", query] = splitOnce(target, "?");
  const parts = query?.split("&") ?? [];
  const given = parts.find((part) => part.startsWith(`${NAME}=`));
  if (given !== undefined) {
    const rest = parts.filter((part) => !part.startsWith(`${NAME}=`)).join("&");
    return { text: given.slice(NAME.length + 1), cleanTarget: rest === "" ? path : `${path}?${rest}` };
  }
  const header = headers[NAME];
  if (typeof header === "string") return { text: header, cleanTarget: null };
  const cookies = new Map(
    (headers.cookie ?? "").split(";").map((cookie) => {
      const [name = "", value = ""] = splitOnce(cookie.trim(), "=");
      return [name, value];
    }),
  );
  const cookie = COOKIES.map((name) => cookies.get(name)).find((value) => value !== undefined);
  return cookie === undefined ? null : { text: cookie, cleanTarget: null };
}

/** Keeps what a link has opened with, in the browser, and has it asked for again without that. */
export function keepPass(
  { from, to }: { readonly from: FrontRequest; readonly to: FrontResponse },
  { text, cleanTarget }: Pass,
  scheme: "http" | "https",
): void {
  const [secured, plain] = COOKIES;
  const cookie = scheme === "https" ? `${secured}=${text}; Secure` : `${plain}=${text}`;
  sendWhole(from, to, {
    status: 303,
    headers: {
      location: cleanTarget ?? "/",
      "set-cookie": `${cookie}; Path=/; HttpOnly; SameSite=Lax`,
      "referrer-policy": "no-referrer",
    },
  });
}

function splitOnce(text: string, by: string): [string, string | undefined] {
  const at = text.indexOf(by);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + by.length)];
}
