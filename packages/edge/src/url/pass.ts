/** What opens a private URL, as clients show it: in a link, from then on in a cookie, and programs in a header. */
import { type FrontRequest, type FrontResponse, sendWhole } from "./front-response.ts";

/** Of the header and the parameter of a link. */
const NAME = "mags-access";
/** Over TLS a browser takes it only from this very host. */
const COOKIES = [`__Host-${NAME}`, NAME] as const;

/** Of headers and cookies that are for the gateway: guests neither get nor set them. */
export const OWN_NAMES: ReadonlySet<string> = new Set([NAME, ...COOKIES.map((name) => name.toLowerCase())]);

export interface Pass {
  /** Empty: what was shown can be none. */
  readonly text: string;
  readonly by: "link" | "header" | "cookie";
  /** The target without it, when it came in that. */
  readonly cleanTarget: string | null;
}

/** Others are not passed on, to the directory or into a cookie. */
const TEXT = /^[A-Za-z0-9_.-]{1,256}$/;
const passed = (text: string) => (TEXT.test(text) ? text : "");

/** The first that there is: in the target, in the header, in a cookie. */
export function passOf({ headers }: FrontRequest, target: string): Pass | null {
  const [path = "", query] = splitOnce(target, "?");
  const parts = query?.split("&") ?? [];
  const given = parts.find((part) => part.startsWith(`${NAME}=`));
  if (given !== undefined) {
    const rest = parts.filter((part) => !part.startsWith(`${NAME}=`)).join("&");
    return {
      text: passed(given.slice(NAME.length + 1)),
      by: "link",
      cleanTarget: rest === "" ? path : `${path}?${rest}`,
    };
  }
  const header = headers[NAME];
  if (typeof header === "string") return { text: passed(header), by: "header", cleanTarget: null };
  const cookies = new Map(
    (headers.cookie ?? "").split(";").map((cookie) => {
      const [name = "", value = ""] = splitOnce(cookie.trim(), "=");
      return [name, value];
    }),
  );
  const cookie = COOKIES.map((name) => cookies.get(name)).find((value) => value !== undefined);
  return cookie === undefined ? null : { text: passed(cookie), by: "cookie", cleanTarget: null };
}

/**
 * A browser sends a cookie along with what pages of other sandboxes ask for, as they are of one site: whatever changes
 * something, or opens a WebSocket, is to come from a page of this very host.
 */
export function isFromElsewhere(
  { method, headers }: FrontRequest,
  { by }: Pick<Pass, "by">,
  { authority, isUpgrade }: { readonly authority: string; readonly isUpgrade: boolean },
): boolean {
  const { origin } = headers;
  if (by !== "cookie" || origin === undefined || (!isUpgrade && /^(GET|HEAD)$/.test(method ?? ""))) return false;
  return !URL.canParse(origin) || withoutUsualPort(new URL(origin).host) !== withoutUsualPort(authority.toLowerCase());
}

const withoutUsualPort = (authority: string) => authority.replace(/:(80|443)$/, "");

/** Keeps what a link has opened with, in the browser, and has it asked for again without that. */
export function keepPass(
  { from, to }: { readonly from: FrontRequest; readonly to: FrontResponse },
  { text, cleanTarget }: Pass,
  { scheme, authority }: { readonly scheme: "http" | "https"; readonly authority: string },
): void {
  const [secured, plain] = COOKIES;
  const cookie = scheme === "https" ? `${secured}=${text}; Secure` : `${plain}=${text}`;
  sendWhole(from, to, {
    status: 303,
    headers: {
      // Whole: a target that begins with two slashes would lead to another host.
      location: `${scheme}://${authority}${cleanTarget ?? "/"}`,
      "set-cookie": `${cookie}; Path=/; HttpOnly; SameSite=Lax`,
      "referrer-policy": "no-referrer",
    },
  });
}

function splitOnce(text: string, by: string): [string, string | undefined] {
  const at = text.indexOf(by);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + by.length)];
}
