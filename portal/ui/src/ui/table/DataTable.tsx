// A table that holds thousands of rows: only those in sight are drawn. j/k or arrows move, Enter opens, x selects,
// / goes to the filter. On a phone every row is a card.
import { defaultRangeExtractor, useWindowVirtualizer, type Range } from "@tanstack/react-virtual";
import { useCallback, useEffect, useMemo, useRef, useState, type KeyboardEvent, type ReactNode } from "react";
import { t } from "~/i18n";
import { number } from "~/i18n/format";
import { ErrorNote } from "../ErrorNote";
import { useWord } from "../hooks";
import { useNarrow, useWindowWidth } from "../media";
import { Waiting } from "../Page";
import { Checkbox } from "../Choice";
import { typing } from "../typing";
import { filterRows, placeOf, sortRows, type Column, type Held, type Sort } from "./columns";
import { HeadRow, TableRow } from "./TableRow";
import { Toolbar } from "./Toolbar";

interface Props<Row> {
  label: string;
  rows: Row[] | undefined;
  columns: Column<Row>[];
  id: (row: Row) => string;
  name: (row: Row) => string;
  error?: unknown;
  retry?: () => void;
  onOpen?: (row: Row) => void;
  href?: (row: Row) => string;
  empty: ReactNode;
  sort?: Sort;
  /** Bulk actions for what is selected; without them nothing can be. */
  bulk?: (rows: Row[], clear: () => void) => ReactNode;
  menu?: (row: Row) => ReactNode;
  /** More to search in than the columns say. */
  search?: (row: Row) => string;
  tools?: ReactNode;
}

/** So many rows are seen at once; nobody filters them. */
const FEW = 6;

export function DataTable<Row>(p: Props<Row>) {
  const narrow = useNarrow();
  const width = useWindowWidth();
  const [filter, setFilter] = useState("");
  const [sort, setSort] = useState<Sort | null>(p.sort ?? null);
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [held, setHeld] = useState<Held | null>(null);
  const [sought] = useWord("at", "");
  const body = useRef<HTMLDivElement>(null);
  const filterBox = useRef<HTMLInputElement>(null);

  const columns = useMemo(() => p.columns.filter((c) => !c.from || width >= c.from), [p.columns, width]);
  const rows = useMemo(
    () => sortRows(filterRows(p.rows ?? [], p.columns, filter, p.search), p.columns, sort),
    [p.rows, p.columns, p.search, filter, sort],
  );
  const at = placeOf(rows, p.id, held);
  const heldId = rows[at] && p.id(rows[at]);
  // Followed as it moves: once it goes, its neighbour is found where it was last, and held instead.
  useEffect(() => {
    if (heldId !== undefined) setHeld((was) => (was?.id === heldId && was.at === at ? was : { id: heldId, at }));
  }, [heldId, at]);
  const stop = Math.max(0, at);
  // The tab stop is drawn out of sight as well: a focused row keeps the focus, and Tab always finds one.
  const drawn = useCallback((range: Range) => {
    const seen = defaultRangeExtractor(range);
    return seen.includes(stop) || stop >= range.count ? seen : [...seen, stop].sort((a, b) => a - b);
  }, [stop]);
  const picked = useMemo(() => rows.filter((row) => chosen.has(p.id(row))), [rows, chosen, p]);
  const height = narrow ? 66 : 40;
  const virtual = useWindowVirtualizer({
    count: rows.length, estimateSize: () => height, overscan: 12, scrollMargin: body.current?.offsetTop ?? 0,
    getItemKey: (i) => p.id(rows[i]!), rangeExtractor: drawn,
  });
  useEffect(() => {
    virtual.measure();
  }, [height, virtual]);

  useEffect(() => {
    const key = (event: globalThis.KeyboardEvent) => {
      if (event.key !== "/" || event.metaKey || event.ctrlKey || typing(event.target)) return;
      event.preventDefault();
      filterBox.current?.focus();
    };
    addEventListener("keydown", key);
    return () => removeEventListener("keydown", key);
  }, []);

  const toggle = useCallback((id: string) => setChosen((was) => {
    const next = new Set(was);
    if (!next.delete(id)) next.add(id);
    return next;
  }), []);
  const go = (to: number) => {
    const next = Math.max(0, Math.min(rows.length - 1, to));
    if (!rows[next]) return;
    setHeld({ id: p.id(rows[next]), at: next });
    virtual.scrollToIndex(next, { align: "auto" });
    requestAnimationFrame(() => body.current?.querySelector<HTMLElement>(`[data-at="${next}"]`)?.focus());
  };
  // An address may name a row: it is marked and brought into sight, once.
  const place = sought === "" ? -1 : rows.findIndex((row) => p.id(row) === sought);
  const isThere = place >= 0;
  useEffect(() => {
    if (!isThere) return;
    setHeld({ id: sought, at: place });
    const timer = requestAnimationFrame(() => virtual.scrollToIndex(place, { align: "center" }));
    return () => cancelAnimationFrame(timer);
    // Not again when rows before it come and go.
  }, [sought, isThere]);
  const onKey = (event: KeyboardEvent) => {
    if (typing(event.target) || event.metaKey || event.ctrlKey || event.altKey) return;
    const row = rows[at];
    const moves: Record<string, () => void> = {
      j: () => go(at + 1), ArrowDown: () => go(at + 1), k: () => go(at - 1), ArrowUp: () => go(at - 1),
      Home: () => go(0), End: () => go(rows.length - 1),
      x: () => row && p.bulk && toggle(p.id(row)),
      Enter: () => row && (event.target as HTMLElement).dataset.at && p.onOpen?.(row),
      Escape: () => setChosen(new Set()),
    };
    const move = moves[event.key];
    if (!move || (event.key === "Enter" && !(event.target as HTMLElement).dataset.at)) return;
    event.preventDefault();
    move();
  };
  const tracks = [p.bulk && "34px", ...columns.map((c) => c.width ?? "minmax(0,1fr)"), p.menu && "40px"].filter(Boolean).join(" ");

  if (p.error && !p.rows) return <ErrorNote error={p.error} retry={p.retry} />;
  if (!p.rows) return <Waiting />;
  if (p.rows.length === 0) return <div className="box">{p.tools && <div className="p-3 border-b border-line">{p.tools}</div>}{p.empty}</div>;
  const all = picked.length > 0 && picked.length === rows.length;
  const check = p.bulk && (
    <Checkbox label={t("table.selectAll")} checked={all} some={picked.length > 0 && !all}
      onChange={() => setChosen(all ? new Set() : new Set(rows.map(p.id)))} />
  );
  return (
    <div onKeyDown={onKey}>
      {(p.bulk || p.tools || filter || p.rows.length > FEW) && <Toolbar filter={filter} onFilter={setFilter} box={filterBox} shown={rows.length} total={p.rows.length} tools={p.tools}
        onDown={() => go(0)} bulk={picked.length > 0 && p.bulk ? p.bulk(picked, () => setChosen(new Set())) : null} picked={picked.length} />}
      <div role="table" aria-label={p.label} aria-rowcount={rows.length + 1} className="box overflow-clip">
        {!narrow && <HeadRow columns={columns} tracks={tracks} sort={sort} onSort={setSort} check={check} menu={Boolean(p.menu)} />}
        {rows.length === 0 && <p className="px-4 py-10 text-center text-ink2">{t("table.noMatch", { filter })}</p>}
        <div ref={body} role="rowgroup" className="relative" style={{ height: virtual.getTotalSize() }}>
          {virtual.getVirtualItems().map((item) => {
            const row = rows[item.index]!;
            const id = p.id(row);
            return (
              <TableRow key={id} id={id} row={row} at={item.index} top={item.start - virtual.options.scrollMargin} height={height} columns={columns}
                tracks={tracks} narrow={narrow} name={p.name(row)} href={p.href?.(row)} onOpen={p.onOpen} focusable={item.index === stop}
                onFocus={setHeld} chosen={chosen.has(id)} sought={id === sought} onChoose={p.bulk && toggle} menu={p.menu} />
            );
          })}
        </div>
      </div>
      <p className="sr-only" aria-live="polite">{t("table.count", { n: rows.length, shown: number(rows.length) })}</p>
    </div>
  );
}
