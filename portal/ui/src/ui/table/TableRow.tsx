import { memo, type MouseEvent, type ReactNode } from "react";
import { Checkbox } from "../Choice";
import { cx } from "../cx";
import { Icon } from "../icons";
import { t } from "~/i18n";
import { airy, type Column, type Held, type Sort } from "./columns";

interface HeadProps<Row> {
  columns: Column<Row>[]; tracks: string; sort: Sort | null; onSort: (sort: Sort) => void; check: ReactNode; menu: boolean;
}

export function HeadRow<Row>({ columns, tracks, sort, onSort, check, menu }: HeadProps<Row>) {
  return (
    <div role="rowgroup" className="sticky top-[52px] z-10 bg-surface border-b border-line">
      <div role="row" className="grid items-center h-9 px-3 gap-3" style={{ gridTemplateColumns: tracks }}>
        {check && <div role="columnheader" className="grid place-items-center">{check}</div>}
        {columns.map((c, i) => {
          const on = sort?.id === c.id;
          return (
            <div key={c.id} role="columnheader" aria-sort={on ? (sort.down ? "descending" : "ascending") : undefined} className={cx("min-w-0", c.end && "text-right", airy(columns, i) && "pr-6")}>
              {c.value
                ? (
                  <button type="button" onClick={() => onSort({ id: c.id, down: on ? !sort.down : false })}
                    className={cx("label inline-flex items-center gap-1 max-w-full hover:text-ink rounded", on && "!text-ink font-semibold")}>
                    <span className="truncate">{c.head}</span>
                    {on && <Icon name={sort.down ? "down" : "up"} size={12} />}
                  </button>
                )
                : <span className="label">{c.head}</span>}
            </div>
          );
        })}
        {menu && <div role="columnheader"><span className="sr-only">{t("do.more")}</span></div>}
      </div>
    </div>
  );
}

interface RowProps<Row> {
  id: string; row: Row; at: number; top: number; height: number; columns: Column<Row>[]; tracks: string; narrow: boolean; name: string; href?: string;
  onOpen?: (row: Row) => void; focusable: boolean; onFocus: (held: Held) => void; chosen: boolean; sought: boolean; onChoose?: (id: string) => void; menu?: (row: Row) => ReactNode;
}

function Row<Row>(p: RowProps<Row>) {
  const shared = {
    role: "row", "data-at": p.at, "aria-rowindex": p.at + 2, tabIndex: p.focusable ? 0 : -1, onFocus: () => p.onFocus({ id: p.id, at: p.at }),
    "aria-selected": p.onChoose ? p.chosen : undefined, "aria-current": p.sought || undefined,
    onClick: (event: MouseEvent) => {
      const target = event.target as Element;
      const link = target.closest("a[data-row]");
      // A link that is wanted in another tab is the browser's.
      if (event.metaKey || event.ctrlKey || event.shiftKey || (!link && target.closest("a,button,input,label,[role=menu],[role=dialog]"))) return;
      if (link) event.preventDefault();
      p.onOpen?.(p.row);
    },
  } as const;
  const place = { position: "absolute", insetInline: 0, height: p.height, transform: `translateY(${p.top}px)` } as const;
  const look = cx(
    "border-b border-line last:border-b-0 outline-none focus-visible:shadow-[inset_3px_0_0_var(--giwa)] focus-visible:bg-giwa-soft hover:bg-paper",
    p.onOpen && "cursor-pointer", p.chosen && "bg-giwa-soft", p.sought && "bg-hwang-soft shadow-[inset_3px_0_0_var(--hwang)]",
  );
  const box = p.onChoose && (
    <div role="cell" className="grid place-items-center">
      <Checkbox label={t("table.select", { name: p.name })} checked={p.chosen} onChange={() => p.onChoose?.(p.id)} />
    </div>
  );
  const linked = (content: ReactNode) => p.href
    ? <a href={p.href} data-row tabIndex={-1} className="truncate hover:text-giwa hover:underline underline-offset-3">{content}</a>
    : content;
  if (p.narrow) {
    // A card has no heads of columns, and a figure alone says nothing.
    const figure = (c: Column<Row>) => c.end && typeof c.value?.(p.row) === "number" && <span className="text-ink3">{c.head} </span>;
    const by = (role: string) => p.columns.filter((c) => c.phone === role);
    return (
      <div {...shared} style={place} className={cx(look, "flex items-center gap-3 px-3")}>
        {box}
        <div className="min-w-0 flex-1">
          <div className="flex items-center justify-between gap-3">
            {by("title").map((c) => <div key={c.id} role="cell" className="font-semibold truncate min-w-0">{linked(c.cell(p.row))}</div>)}
            {by("aside").map((c) => <div key={c.id} role="cell" className="shrink-0 text-[13px]">{figure(c)}{c.cell(p.row)}</div>)}
          </div>
          <div className="flex gap-3 text-[13px] text-ink2 min-w-0">
            {by("line").map((c) => <div key={c.id} role="cell" className="truncate">{figure(c)}{c.cell(p.row)}</div>)}
          </div>
        </div>
        {p.menu && <div role="cell">{p.menu(p.row)}</div>}
      </div>
    );
  }
  return (
    <div {...shared} style={{ ...place, gridTemplateColumns: p.tracks }} className={cx(look, "grid items-center gap-3 px-3")}>
      {box}
      {p.columns.map((c, i) => (
        <div key={c.id} role="cell" className={cx("min-w-0 flex items-center", c.end ? "justify-end" : "", airy(p.columns, i) && "pr-6", i === 0 && "font-semibold")}>
          <div className="min-w-0 truncate">{i === 0 ? linked(c.cell(p.row)) : c.cell(p.row)}</div>
        </div>
      ))}
      {p.menu && <div role="cell" className="text-right">{p.menu(p.row)}</div>}
    </div>
  );
}

/** Scrolling draws the rows that come into sight, not those that are there. */
export const TableRow = memo(Row) as typeof Row;
