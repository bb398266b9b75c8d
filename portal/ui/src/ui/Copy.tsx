import { useState } from "react";
import { Button } from "react-aria-components";
import { t } from "~/i18n";
import { cx } from "./cx";
import { Icon } from "./icons";

/** A text that one press copies. The page may be on plain HTTP, where browsers give no clipboard: then it is selected. */
export function Copy({ text, show, mono, wrap }: { text: string; show?: string; mono?: boolean; wrap?: boolean }) {
  const [done, setDone] = useState(false);
  const copy = async (target: Element) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      getSelection()?.selectAllChildren(target);
    }
    setDone(true);
    setTimeout(() => setDone(false), 1200);
  };
  return (
    <Button onPress={(e) => void copy(e.target)} aria-label={`${t("do.copy")}: ${show || text}`}
      className={cx("group inline-flex max-w-full items-center gap-1.5 rounded text-left hover:text-giwa", mono && "font-mono text-[12.5px]")}>
      <span className={wrap ? "select-text" : "truncate select-text"}>{show ?? text}</span>
      <Icon name={done ? "check" : "copy"} size={13} className={done ? "text-noerok" : "text-ink3 opacity-60 group-hover:opacity-100"} />
    </Button>
  );
}

export function CodeBlock({ text, label }: { text: string; label: string }) {
  return (
    <div className="relative rounded-[8px] bg-sunk border border-line">
      <pre tabIndex={0} aria-label={label} className="overflow-auto p-3 pr-10 font-mono text-[12.5px] leading-relaxed whitespace-pre max-h-80">{text}</pre>
      <span className="absolute right-2 top-2 bg-sunk rounded px-1"><Copy text={text} show="" /></span>
    </div>
  );
}
