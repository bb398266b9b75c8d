import type { ReactNode } from "react";
import { Button, Label, ListBox, ListBoxItem, Popover, Select, SelectValue, Switch as BaseSwitch } from "react-aria-components";
import { cx } from "./cx";
import { Icon } from "./icons";

export interface Option { id: string; label: string; note?: string; disabled?: boolean }

interface ChoiceProps {
  label: string;
  value: string | null;
  onChange: (id: string) => void;
  options: Option[];
  placeholder?: string;
  hideLabel?: boolean;
  className?: string;
  small?: boolean;
}

export const popover = "rise box shadow-high min-w-44 max-w-[min(92vw,420px)] overflow-auto p-1 outline-none z-50";
export const popItem = "flex items-center gap-2.5 rounded-[6px] px-2.5 py-1.5 outline-none cursor-pointer data-[focused]:bg-giwa-soft data-[disabled]:opacity-45";

export function Choice(p: ChoiceProps) {
  return (
    <Select selectedKey={p.value} onSelectionChange={(key) => p.onChange(String(key))} placeholder={p.placeholder ?? "–"}
      className={cx("flex flex-col gap-1 min-w-0", p.className)}>
      <Label className={p.hideLabel ? "sr-only" : "text-[13px] text-ink2"}>{p.label}</Label>
      <Button className={cx("control flex items-center justify-between gap-2 text-left", p.small && "!h-7 text-[13px]")}>
        <SelectValue className="truncate data-[placeholder]:text-ink3">
          {({ selectedText, isPlaceholder, defaultChildren }) => (isPlaceholder ? defaultChildren : selectedText)}
        </SelectValue>
        <Icon name="down" size={14} className="text-ink3" />
      </Button>
      <Popover className={cx(popover, "min-w-(--trigger-width)")}>
        <ListBox items={p.options} className="outline-none" disabledKeys={p.options.filter((o) => o.disabled).map((o) => o.id)}>
          {(o) => (
            <ListBoxItem id={o.id} textValue={o.label} className={popItem}>
              <span className="flex-1">{o.label}</span>
              {o.note && <span className="label" aria-hidden="true">{o.note}</span>}
            </ListBoxItem>
          )}
        </ListBox>
      </Popover>
    </Select>
  );
}

/** A native box under a drawn one: a table has thousands of them, and they cost nothing. */
export function Checkbox({ checked, onChange, children, some, label, disabled }: {
  checked: boolean; onChange: (on: boolean) => void; children?: ReactNode; some?: boolean; label?: string; disabled?: boolean;
}) {
  return (
    <label className="relative inline-flex items-center gap-2 cursor-pointer has-disabled:opacity-50">
      <input type="checkbox" checked={checked} disabled={disabled} aria-label={label} onChange={(e) => onChange(e.target.checked)}
        ref={(box) => { if (box) box.indeterminate = Boolean(some); }} className="peer absolute size-4 opacity-0 cursor-pointer" />
      <span aria-hidden="true" className={cx("grid place-items-center size-4 shrink-0 rounded-[4px] border peer-focus-visible:outline-2 outline-offset-2 outline-giwa",
        checked || some ? "bg-giwa border-giwa text-on-giwa" : "border-line2 bg-surface")}>
        {some ? <span className="w-2 h-0.5 bg-on-giwa" /> : checked && <Icon name="check" size={12} />}
      </span>
      {children}
    </label>
  );
}

export function Switch({ on, onChange, children, disabled }: { on: boolean; onChange: (on: boolean) => void; children: ReactNode; disabled?: boolean }) {
  return (
    <BaseSwitch isSelected={on} onChange={onChange} isDisabled={disabled} className="group inline-flex items-center gap-2.5 cursor-pointer data-[disabled]:opacity-50">
      <span className="flex w-8 h-[18px] shrink-0 rounded-full border border-line2 bg-sunk p-px transition-colors group-data-[selected]:bg-giwa group-data-[selected]:border-giwa group-data-[focus-visible]:outline-2 group-data-[focus-visible]:outline-offset-2 outline-giwa">
        <span className="size-3.5 rounded-full bg-ink3 transition-transform group-data-[selected]:translate-x-3.5 group-data-[selected]:bg-on-giwa" />
      </span>
      {children}
    </BaseSwitch>
  );
}
