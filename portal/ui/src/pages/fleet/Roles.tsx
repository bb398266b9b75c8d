import { useState } from "react";
import { ask } from "~/api/http";
import { queries, useAsk } from "~/api/query";
import { known, t, type Key } from "~/i18n";
import { Button } from "~/ui/Button";
import { Confirm, type Doom } from "~/ui/Confirm";
import { FormDialog } from "~/ui/Dialog";
import { ErrorNote } from "~/ui/ErrorNote";
import { Field } from "~/ui/Field";
import { Icon } from "~/ui/icons";
import { Section, Waiting } from "~/ui/Page";

interface Role { id: string; name: string; description: string | null }
const KEY = ["roles"];
const again = () => queries.invalidateQueries({ queryKey: KEY });
/** What Hanok itself asks for. Others are for programs that look at them. */
const own = ["admin", "manager", "member", "reader", "service"];

/** What somebody may be in a project, and what each role allows. */
export function Roles() {
  const { data, error, refetch } = useAsk<{ roles: Role[] }>(KEY, "/identity/v3/roles");
  const [making, setMaking] = useState(false);
  const [doom, setDoom] = useState<Doom | null>(null);
  const rank = (r: Role) => (own.includes(r.name) ? own.indexOf(r.name) : own.length);
  const note = (r: Role) => (known(`roles.may.${r.name}`) ? t(`roles.may.${r.name}` as Key) : r.description);
  return (
    <Section title={t("roles.title")} className="mt-10" actions={<Button small onPress={() => setMaking(true)}><Icon name="plus" size={14} />{t("roles.create")}</Button>}>
      {error ? <ErrorNote error={error} retry={refetch} /> : !data ? <Waiting /> : (
        <ul className="box">
          {data.roles.toSorted((a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name)).map((r) => (
            <li key={r.id} className="flex flex-wrap items-center gap-x-4 gap-y-0.5 px-4 py-2.5 border-b border-line last:border-0">
              <span className="min-w-40"><b className="font-semibold">{known(`role.${r.name}`) ? t(`role.${r.name}` as Key) : r.name}</b> <span className="font-mono text-[12.5px] text-ink3">{r.name}</span></span>
              <span className="text-ink2 flex-1 basis-64">{note(r)}</span>
              {!own.includes(r.name) && (
                <Button small look="quiet" aria-label={`${t("do.delete")}: ${r.name}`} onPress={() => setDoom({
                  title: t("roles.deleteAsk", { name: r.name }), note: t("roles.deleteNote"), run: () => ask(`/identity/v3/roles/${r.id}`, { method: "DELETE" }).then(again),
                })}><Icon name="trash" size={14} /></Button>
              )}
            </li>
          ))}
        </ul>
      )}
      <Confirm of={doom} onClose={() => setDoom(null)} />
      {making && <Create onClose={() => setMaking(false)} />}
    </Section>
  );
}

function Create({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState("");
  const [about, setAbout] = useState("");
  return (
    <FormDialog title={t("roles.create")} open onClose={onClose} action={t("roles.create")} ready={name.trim() !== ""}
      run={() => ask("/identity/v3/roles", { method: "POST", body: { role: { name: name.trim(), ...(about.trim() ? { description: about.trim() } : {}) } } }).then(again)}>
      <Field label={t("word.name")} value={name} onChange={setName} autoFocus />
      <Field label={t("word.description")} value={about} onChange={setAbout} note={t("roles.createNote")} />
    </FormDialog>
  );
}
