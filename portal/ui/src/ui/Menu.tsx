import { useState, type ReactNode } from "react";
import { Button, Menu as BaseMenu, MenuItem, MenuTrigger, Popover } from "react-aria-components";
import { t } from "~/i18n";
import { buttonLook } from "./Button";
import { popItem, popover } from "./Choice";
import { cx } from "./cx";
import { Icon, type IconName } from "./icons";

export interface Act { id: string; label: string; icon?: IconName; danger?: boolean; disabled?: boolean; run: () => void }

interface Props { acts: Act[]; children?: ReactNode; label?: string; className?: string }

/** A plain button until it is used for the first time: a table draws one in each row. */
export function Menu(p: Props) {
  const [open, setOpen] = useState<boolean | null>(null);
  const name = p.label ?? (p.children ? undefined : t("do.more"));
  const look = p.className ?? cx(buttonLook("quiet", true), "!px-1.5");
  const face = p.children ?? <Icon name="more" />;
  if (open === null) {
    return (
      <button type="button" aria-label={name} aria-haspopup="menu" aria-expanded="false" className={look} onClick={() => setOpen(true)}
        onKeyDown={(e) => e.key === "ArrowDown" && (e.preventDefault(), e.stopPropagation(), setOpen(true))}>
        {face}
      </button>
    );
  }
  return (
    <MenuTrigger isOpen={open} onOpenChange={setOpen}>
      <Button aria-label={name} className={look}>{face}</Button>
      <Popover className={popover} placement="bottom end">
        <BaseMenu items={p.acts} className="outline-none" disabledKeys={p.acts.filter((a) => a.disabled).map((a) => a.id)}
          onAction={(id) => p.acts.find((a) => a.id === id)?.run()}>
          {(a) => (
            <MenuItem id={a.id} textValue={a.label} className={cx(popItem, a.danger && "text-seokganju")}>
              {a.icon && <Icon name={a.icon} />}
              {a.label}
            </MenuItem>
          )}
        </BaseMenu>
      </Popover>
    </MenuTrigger>
  );
}
