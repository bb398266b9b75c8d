// Tabs share the cookie, and with it the project: what one tab does to the session the others look at at once, so that
// nothing is written into a project that their pages do not show.
import { recheck } from "./http";

const NAME = "hanok-session";

/** Looks at the session when another tab has changed it, and when the tab is turned to: it may have slept meanwhile. */
export function follow() {
  const channel = new BroadcastChannel(NAME);
  const look = () => void recheck();
  const turned = () => document.visibilityState === "visible" && look();
  channel.onmessage = look;
  document.addEventListener("visibilitychange", turned);
  return {
    tell: () => channel.postMessage("changed"),
    stop: () => {
      channel.close();
      document.removeEventListener("visibilitychange", turned);
    },
  };
}
