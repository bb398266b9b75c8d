import { Link } from "@tanstack/react-router";
import { useEffect, type ReactNode } from "react";
import { Tab as BaseTab, TabList, TabPanel, Tabs as BaseTabs } from "react-aria-components";
import { Icon } from "./icons";

interface Props {
  title: string;
  /** A name that a user gave, set in the text face, which has every syllable. */
  named?: boolean;
  lead?: ReactNode;
  back?: { to: string; label: string };
  actions?: ReactNode;
  children: ReactNode;
}

export function Page({ title, named, lead, back, actions, children }: Props) {
  useEffect(() => {
    document.title = `${title} · Hanok`;
  }, [title]);
  return (
    <div className="mx-auto w-full max-w-[1180px] px-4 sm:px-8 pb-16 pt-5 sm:pt-8">
      {back && (
        <Link to={back.to} className="inline-flex items-center gap-1 text-ink3 hover:text-ink text-[13px] mb-1.5">
          <Icon name="left" size={13} />{back.label}
        </Link>
      )}
      <header className="mb-6">
        <div className="flex flex-wrap items-center justify-between gap-x-6 gap-y-3">
          <h1 className={named ? "min-w-0 text-[24px] leading-tight font-semibold [overflow-wrap:anywhere]" : "font-title font-bold text-[27px] leading-tight tracking-[-0.01em]"}>{title}</h1>
          {actions && <div className="flex flex-wrap items-center gap-2">{actions}</div>}
        </div>
        {lead && <div className="text-ink2 mt-1.5 max-w-[80ch] text-pretty">{lead}</div>}
      </header>
      {children}
    </div>
  );
}

export function Section({ title, actions, children, className }: { title: string; actions?: ReactNode; children: ReactNode; className?: string }) {
  return (
    <section className={className}>
      <div className="flex items-center justify-between gap-3 mb-2.5 min-h-7">
        <h2 className="font-semibold text-[15px]">{title}</h2>
        {actions && <div className="flex gap-2">{actions}</div>}
      </div>
      {children}
    </section>
  );
}

export interface TabDef { id: string; label: string; body: ReactNode }
export function Tabs({ tabs, value, onChange, label }: { tabs: TabDef[]; value: string; onChange: (id: string) => void; label: string }) {
  return (
    <BaseTabs selectedKey={value} onSelectionChange={(key) => onChange(String(key))}>
      <TabList aria-label={label} items={tabs} className="flex gap-3.5 sm:gap-5 border-b border-line mb-6 overflow-x-auto">
        {(tab) => (
          <BaseTab id={tab.id} className="py-2 -mb-px border-b-2 border-transparent text-ink2 hover:text-ink cursor-pointer outline-none whitespace-nowrap data-[selected]:border-giwa data-[selected]:text-ink data-[selected]:font-semibold rounded-t-[4px] data-[focus-visible]:shadow-[inset_0_0_0_2px_var(--giwa)]">
            {tab.label}
          </BaseTab>
        )}
      </TabList>
      {tabs.map((tab) => <TabPanel key={tab.id} id={tab.id} className="outline-none">{tab.body}</TabPanel>)}
    </BaseTabs>
  );
}

/** Pairs of a word and what it is. */
export function Facts({ rows }: { rows: [string, ReactNode][] }) {
  return (
    <dl className="grid grid-cols-[minmax(96px,max-content)_1fr] gap-x-6 gap-y-2">
      {rows.map(([label, value]) => (
        <div key={label} className="contents">
          <dt className="text-ink3">{label}</dt>
          <dd className="min-w-0 [overflow-wrap:anywhere]">{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** How much of something is used: a bar that warns when little is left. */
export function Meter({ label, used, total, show }: { label: string; used: number; total: number; show?: (n: number) => string }) {
  const say = show ?? String;
  const endless = total < 0;
  const part = endless || total === 0 ? 0 : Math.min(1, used / total);
  const tone = part >= 1 ? "bg-seokganju" : part >= 0.8 ? "bg-hwang" : "bg-giwa";
  return (
    <div>
      <div className="flex justify-between gap-3 mb-1.5">
        <span className="text-ink2">{label}</span>
        <span><b className="font-semibold">{say(used)}</b><span className="text-ink3"> / {endless ? "∞" : say(total)}</span></span>
      </div>
      <div role="meter" aria-label={label} aria-valuenow={used} aria-valuemin={0} aria-valuemax={endless ? used : total} className="h-[5px] bg-sunk rounded-full overflow-hidden">
        <div className={`h-full rounded-full ${tone}`} style={{ width: `${part * 100}%` }} />
      </div>
    </div>
  );
}

export function Waiting() {
  return (
    <div className="flex flex-col gap-3 py-2" aria-hidden="true">
      {[70, 90, 60].map((w) => <div key={w} className="breathe h-4 rounded bg-sunk" style={{ width: `${w}%` }} />)}
    </div>
  );
}
