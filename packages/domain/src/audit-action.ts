/** What the audit log tells of. */
export const AUDIT_ACTIONS = [
  "access_granted",
  "alias_created",
  "alias_moved",
  "alias_removed",
  /** More was to be told than could be stored: `data.entries` of them are missing. */
  "entries_lost",
  "key_added",
  "key_removed",
  "ssh_ended",
  "ssh_forward",
  /** `data.attempts`: how many, of one connection, or with no login of several within a minute. */
  "ssh_refused",
  "ssh_session",
  "ssh_signed_in",
  "token_created",
  "token_revoked",
  "url_access_changed",
  "url_link_made",
  "url_link_revoked",
] as const;

export type AuditAction = (typeof AUDIT_ACTIONS)[number];
