// Every page, every thing and what can be done with it, by a few letters.
import { useNavigate } from "@tanstack/react-router";
import { useEffect, useId, useMemo, useRef, useState, type KeyboardEvent } from "react";
import { Dialog, Modal, ModalOverlay } from "react-aria-components";
import { t } from "~/i18n";
import { cx } from "~/ui/cx";
import { Icon } from "~/ui/icons";
import { rank } from "./match";
import { useEntries, type Entry } from "./entries";

const SHOWN = 40;

export function Palette({ open, onClose }: { open: boolean; onClose: () => void }) {
  return (
    <ModalOverlay isOpen={open} onOpenChange={(is) => !is && onClose()} isDismissable
      className="fixed inset-0 z-40 flex justify-center items-start bg-[rgb(var(--shade)/0.38)] p-3 sm:pt-[11vh]">
      <Modal className="rise w-full max-w-xl">
        <Dialog aria-label={t("palette.label")} className="box shadow-high overflow-hidden outline-none rounded-[12px]">
          <Finder onDone={onClose} />
        </Dialog>
      </Modal>
    </ModalOverlay>
  );
}

function Finder({ onDone }: { onDone: () => void }) {
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const list = useRef<HTMLUListElement>(null);
  const box = useRef<HTMLInputElement>(null);
  const listId = useId();
  const navigate = useNavigate();
  const entries = useEntries();
  const found = useMemo(() => rank(entries, text).slice(0, SHOWN), [entries, text]);

  useEffect(() => setAt(0), [text]);
  useEffect(() => box.current?.focus(), []);
  useEffect(() => {
    list.current?.children[at]?.scrollIntoView({ block: "nearest" });
  }, [at]);

  const run = (entry: Entry | undefined) => {
    if (!entry) return;
    onDone();
    if (entry.to) void navigate({ to: entry.to });
    else entry.run?.();
  };
  const onKey = (event: KeyboardEvent) => {
    // While a Korean syllable is being put together its Enter belongs to the input method.
    if (event.nativeEvent.isComposing) return;
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (step) {
      event.preventDefault();
      setAt((at + step + found.length) % Math.max(1, found.length));
    } else if (event.key === "Enter") {
      event.preventDefault();
      run(found[at]);
    }
  };
  return (
    <>
      <div className="flex items-center gap-3 px-4 border-b border-line">
        <Icon name="search" className="text-ink3" />
        <input ref={box} role="combobox" aria-expanded="true" aria-controls={listId} aria-activedescendant={found[at] && `${listId}-${at}`} aria-label={t("palette.label")}
          value={text} onChange={(e) => setText(e.target.value)} onKeyDown={onKey} placeholder={t("palette.hint")}
          className="flex-1 h-12 bg-transparent outline-none text-[15px]" autoComplete="off" spellCheck={false} />
        <kbd className="key">Esc</kbd>
      </div>
      <ul ref={list} id={listId} role="listbox" aria-label={t("palette.label")} className="max-h-[52vh] overflow-auto p-1.5">
        {found.map((entry, i) => (
          <li key={entry.id} id={`${listId}-${i}`} role="option" aria-selected={i === at} onClick={() => run(entry)} onPointerMove={() => i !== at && setAt(i)}
            className={cx("flex items-center gap-3 h-9 px-3 rounded-[7px] cursor-pointer", i === at && "bg-giwa-soft")}>
            <Icon name={entry.icon} className={entry.danger ? "text-seokganju" : "text-ink3"} />
            <span className="truncate">{entry.label}</span>
            {entry.note && <span className="label truncate ml-auto max-w-[45%]">{entry.note}</span>}
            {entry.keys && <kbd className={cx("key", !entry.note && "ml-auto")}>{entry.keys}</kbd>}
          </li>
        ))}
        {found.length === 0 && <li className="px-3 py-8 text-center text-ink2">{t("palette.none", { text })}</li>}
      </ul>
    </>
  );
}
