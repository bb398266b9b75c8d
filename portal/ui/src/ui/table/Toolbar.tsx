import type { ReactNode, RefObject } from "react";
import { t } from "~/i18n";
import { number } from "~/i18n/format";
import { Icon } from "../icons";

interface Props {
  filter: string;
  onFilter: (text: string) => void;
  box: RefObject<HTMLInputElement | null>;
  shown: number;
  total: number;
  tools?: ReactNode;
  bulk: ReactNode;
  picked: number;
  onDown: () => void;
}

export function Toolbar({ filter, onFilter, box, shown, total, tools, bulk, picked, onDown }: Props) {
  return (
    <div className="flex flex-wrap items-center gap-x-3 gap-y-2 mb-3 min-h-[34px]">
      <div className="relative w-full sm:w-64">
        <Icon name="search" size={14} className="absolute left-2.5 top-[10px] text-ink3" />
        <input ref={box} type="search" value={filter} onChange={(e) => onFilter(e.target.value)} aria-label={t("table.filter")}
          placeholder={t("table.filter")} className="control !pl-8"
          onKeyDown={(e) => {
            if (e.nativeEvent.isComposing) return;
            if (e.key === "Escape") onFilter("");
            if (e.key === "ArrowDown" || e.key === "Enter") {
              e.preventDefault();
              onDown();
            }
          }} />
      </div>
      <span className="label max-sm:hidden">{shown === total ? number(total) : t("table.of", { shown, total })}</span>
      {bulk
        ? <div className="flex flex-wrap items-center gap-2 sm:ml-auto"><span className="text-[13px] text-ink2">{t("table.picked", { n: picked })}</span>{bulk}</div>
        : tools && <div className="flex flex-wrap items-center gap-2 sm:ml-auto">{tools}</div>}
    </div>
  );
}
