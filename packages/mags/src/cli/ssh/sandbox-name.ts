/** What a sandbox may be called, known before anything is asked or made. */
import { isRequestId } from "../../sdk/job-path.ts";
import { Failure } from "../failure.ts";

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
/** Names of jobs as well as of users of ssh. */
export const isName = (text: string): boolean => NAME.test(text);

/** They stand for something else where names stand in the paths of the API. */
const RESERVED = ["usage", "pool-status"];
const MOST_SHOWN = 80;

/** @throws Failure when it is neither a name nor an id of a job. */
export function checkNameOrId(text: string): void {
  if (isRequestId(text)) return;
  const shown = JSON.stringify(text.length > MOST_SHOWN ? `${text.slice(0, MOST_SHOWN)}…` : text);
  if (!isName(text))
    throw new Failure(
      `there can be no sandbox ${shown}: a name has 1 to 63 letters, digits, dots, underscores or dashes, and starts with a letter or digit`,
    );
  if (RESERVED.includes(text)) throw new Failure(`there can be no sandbox ${shown}: that is a path of the API`);
}
