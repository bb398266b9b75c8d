// The file that OpenStack's clients and Terraform read.
interface Cloud { origin: string; region: string; user: string; project: string; credential?: { id: string; secret: string } }

const say = (s: string) => (/^[A-Za-z][\w.-]*$/.test(s) ? s : JSON.stringify(s));

export function asCloudsYaml(c: Cloud): string {
  const auth = c.credential
    ? ["    auth_type: v3applicationcredential", "    auth:", `      auth_url: ${c.origin}/identity/v3`,
      `      application_credential_id: ${say(c.credential.id)}`, `      application_credential_secret: ${say(c.credential.secret)}`]
    : ["    auth:", `      auth_url: ${c.origin}/identity/v3`, `      username: ${say(c.user)}`, `      project_name: ${say(c.project)}`,
      "      user_domain_name: Default", "      project_domain_name: Default"];
  return ["clouds:", "  hanok:", ...auth, `    region_name: ${say(c.region)}`, "    identity_api_version: 3", ""].join("\n");
}
