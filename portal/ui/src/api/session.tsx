// Who is signed in, to which project, with which roles. The cookie holds the session; this holds what to show.
import { createContext, useCallback, useContext, useEffect, useMemo, useRef, useState, type ReactNode } from "react";
import { ApiError, ask, recheck, setCsrf, whenSession } from "./http";
import { queries } from "./query";
import { setProject } from "./scope";
import { follow } from "./tabs";
import { whenIdle, whileTouched } from "./touch";

export interface Named {
  id: string;
  name: string;
}
export interface Session {
  user: Named & { domain_id: string };
  project: Named | null;
  projects: Named[];
  roles: string[];
  admin: boolean;
  csrf: string;
  expires_at: string;
  idle_s: number;
  version: string;
  region: string;
}

export type Ending = "asked" | "idle" | "expired" | "changed";
interface Holder {
  /** undefined while nobody knows yet */
  session: Session | null | undefined;
  ended: Ending | null;
  /** Why nobody knows yet, when it takes long: nobody answers. */
  silence: unknown;
  signIn(user: string, password: string, domain: string, passcode?: string): Promise<void>;
  signOut(why: Ending): Promise<void>;
  enter(project: string): Promise<void>;
}

const Context = createContext<Holder | null>(null);
const PATH = "/hanok/v1/session";

/** Of one cookie, hence of one user, in one project. */
export const same = (a: Session | null | undefined, b: Session | null | undefined) =>
  a === b || (!!a && !!b && a.csrf === b.csrf && a.user.id === b.user.id && a.project?.id === b.project?.id);

export function SessionProvider({ children }: { children: ReactNode }) {
  const [session, setSession] = useState<Session | null | undefined>(undefined);
  const [ended, setEnded] = useState<Ending | null>(null);
  const [silence, setSilence] = useState<unknown>(null);

  const held = useRef<Session | null | undefined>(undefined);
  const tabs = useRef<ReturnType<typeof follow>>(null);

  const take = useCallback((next: Session | null) => {
    // Pages that stay would wait in vain on what is thrown away under them.
    if (!same(held.current, next)) queries.clear();
    held.current = next;
    setCsrf(next?.csrf ?? "");
    setProject(next?.project?.id ?? null);
    setSession(next);
    setSilence(null);
    if (next) setEnded(null);
  }, []);

  useEffect(() => {
    const look = () => ask<Session>(PATH).then(take, (error: unknown) => {
      if (error instanceof ApiError && error.status >= 400 && error.status < 500) return take(null);
      // Without an answer nobody knows whether the cookie is good: ask again rather than sign out.
      setSilence(error);
      setTimeout(look, 1500);
    });
    void look();
    whenSession((now) => {
      const next = now as Session | null;
      // The first look has its own way, and takes what is there.
      if (held.current === undefined || same(held.current, next)) return;
      if (!next) setEnded((was) => was ?? "expired");
      take(next);
    });
    tabs.current = follow();
    return () => tabs.current?.stop();
  }, [take]);

  const value = useMemo<Holder>(() => {
    /** Done here, so that the other tabs do not know yet. */
    const change = (next: Session | null) => {
      take(next);
      tabs.current?.tell();
    };
    return {
      session,
      ended,
      silence,
      async signIn(user, password, domain, passcode) {
        change(await ask<Session>(PATH, { method: "POST", body: { user, password, domain, ...(passcode ? { passcode } : {}) } }));
      },
      async signOut(why) {
        setEnded(why);
        await ask(PATH, { method: "DELETE" }).catch(() => undefined);
        change(null);
      },
      async enter(project) {
        change(await ask<Session>(PATH, { method: "PUT", body: { project_id: project } }));
      },
    };
  }, [session, ended, silence, take]);

  return <Context value={value}>{children}</Context>;
}

export function useHolder(): Holder {
  const holder = useContext(Context);
  if (!holder) throw new Error("outside of SessionProvider");
  return holder;
}

/** Within the shell there always is one. */
export function useSession(): Session {
  const { session } = useHolder();
  if (!session) throw new Error("nobody is signed in");
  return session;
}

/** How exactly the service knows when somebody was here: what goes through a console it does not count. */
const TELL_MS = 60_000;

/** Signs out when nobody touched a page for as long as the session may idle, and until then has the service know of it. */
export function useIdle(seconds: number, out: () => void) {
  useEffect(() => whenIdle(seconds, out), [seconds, out]);
  useEffect(() => whileTouched(Math.min(TELL_MS, seconds * 250), () => void recheck()), [seconds]);
}
