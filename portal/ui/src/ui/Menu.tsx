import type { ReactNode } from "react";
import { Button, Menu as BaseMenu, MenuItem, MenuTrigger, Popover } from "react-aria-components";
import { t } from "~/i18n";
import { buttonLook } from "./Button";
import { popItem, popover } from "./Choice";
import { cx } from "./cx";
import { Icon, type IconName } from "./icons";

export interface Act { id: string; label: string; icon?: IconName; danger?: boolean; disabled?: boolean; run: () => void }

export function Menu({ acts, children, label, className }: { acts: Act[]; children?: ReactNode; label?: string; className?: string }) {
  return (
    <MenuTrigger>
      <Button aria-label={label ?? (children ? undefined : t("do.more"))} className={className ?? cx(buttonLook("quiet", true), "!px-1.5")}>
        {children ?? <Icon name="more" />}
      </Button>
      <Popover className={popover} placement="bottom end">
        <BaseMenu items={acts} className="outline-none" disabledKeys={acts.filter((a) => a.disabled).map((a) => a.id)}
          onAction={(id) => acts.find((a) => a.id === id)?.run()}>
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
