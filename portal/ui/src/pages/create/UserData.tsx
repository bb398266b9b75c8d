import { useState } from "react";
import { t } from "~/i18n";
import { Button } from "~/ui/Button";
import { Field } from "~/ui/Field";
import { Icon } from "~/ui/icons";

const templates = {
  nginx: "#cloud-config\npackages:\n  - nginx\nruncmd:\n  - systemctl enable --now nginx\n",
  docker: "#cloud-config\npackages:\n  - docker.io\nruncmd:\n  - systemctl enable --now docker\n",
  user: "#cloud-config\nusers:\n  - name: me\n    sudo: ALL=(ALL) NOPASSWD:ALL\n    shell: /bin/bash\n    ssh_authorized_keys:\n      - ssh-ed25519 AAAA… me@home\n",
  script: "#!/bin/sh\nset -eu\necho \"hello from $(hostname)\" > /etc/motd\n",
} as const;

export function UserData({ value, onChange }: { value: string; onChange: (text: string) => void }) {
  const [open, setOpen] = useState(false);
  if (!open && !value) {
    return <div><Button look="quiet" className="-ml-3" onPress={() => setOpen(true)}><Icon name="right" size={14} />{t("create.userData")}</Button></div>;
  }
  return (
    <div className="flex flex-col gap-2">
      <p className="font-semibold text-[15px]">{t("create.userData")}</p>
      <div className="flex flex-wrap gap-2 items-center">
        <span className="label">{t("create.template")}</span>
        {(Object.keys(templates) as (keyof typeof templates)[]).map((id) => <Button small key={id} onPress={() => onChange(templates[id])}>{t(`create.template.${id}`)}</Button>)}
      </div>
      <Field label={t("create.userData")} hideLabel rows={9} mono value={value} onChange={onChange} note={t("create.userDataNote")} />
    </div>
  );
}
