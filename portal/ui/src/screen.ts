// The screen of one server, for whoever has its address (`openstack console url show --novnc SERVER`). The address is the
// key: there is no session here, and none is used.
import RFB from "@novnc/novnc";
import { language, t, type Key } from "./i18n";
import "./shell/theme";
import "./styles/index.css";

/** Whatever the address says, nothing but a console is connected to. */
const CONSOLE = /^hanok\/v1\/console\/vnc\?token=\w+$/;
const BUTTON = "h-7 px-2 rounded-[7px] text-[13px] border border-line2 bg-surface hover:border-ink3 disabled:opacity-45";

const root = document.getElementById("root")!;
root.className = "h-dvh flex flex-col";
const place = document.createElement("main");
place.className = "flex-1 min-h-0 bg-[#14191c]";

function button(words: Key, press: () => void) {
  const made = document.createElement("button");
  made.className = BUTTON;
  made.textContent = t(words);
  made.onclick = press;
  return made;
}

function start() {
  document.documentElement.lang = language();
  document.title = `${t("screen.title")} · Hanok`;
  const [head, title, state] = [document.createElement("header"), document.createElement("h1"), document.createElement("p")];
  head.className = "flex flex-wrap items-center gap-2 px-3 py-2 border-b border-line";
  title.className = "font-semibold";
  title.textContent = t("screen.title");
  state.className = "label flex-1";
  state.setAttribute("role", "status");
  const path = new URLSearchParams(location.search).get("path") ?? "";
  let screen: RFB | undefined;
  const keys = button("screen.keys", () => screen?.sendCtrlAltDel());
  keys.disabled = true;
  const over = (words: Key) => {
    keys.disabled = true;
    state.textContent = t(words);
  };
  head.append(title, state, keys, button("console.full", () => void place.requestFullscreen()));
  root.replaceChildren(head, place);
  if (!CONSOLE.test(path)) return over("screen.wrong");
  state.textContent = t("screen.connecting");
  screen = new RFB(place, `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/${path}`);
  screen.scaleViewport = true;
  screen.background = "#14191c";
  screen.addEventListener("disconnect", () => over("screen.over"));
  screen.addEventListener("connect", () => {
    state.textContent = "";
    keys.disabled = false;
    screen?.focus();
  });
}

start();
