import { ApiError, ask } from "./http";

/** Whose password has to be changed before he may in, when that is why he was refused. */
export function expiredFor(error: unknown): string | null {
  if (!(error instanceof ApiError) || error.status !== 401) return null;
  return /password is expired.*?([0-9a-f]{32})/i.exec(error.message)?.[1] ?? null;
}

/** Proving the old password is all that it takes, so that it works before one is signed in as well. */
export const changePassword = (user: string, original_password: string, password: string) =>
  ask<void>(`/identity/v3/users/${user}/password`, { method: "POST", body: { user: { original_password, password } } });
