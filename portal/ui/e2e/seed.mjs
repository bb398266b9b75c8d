// A cloud that somebody lives in, made by the APIs, so that pages have something to show.
import { at, base } from "./browser.mjs";
import { until } from "./check.mjs";

export class Api {
  static async signIn(url, user, password) {
    const body = { auth: {
      identity: { methods: ["password"], password: { user: { name: user, domain: { id: "default" }, password } } },
      scope: { project: { name: user, domain: { id: "default" } } },
    } };
    const answer = await fetch(`${url}/identity/v3/auth/tokens`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
    const api = new Api(url, answer.headers.get("x-subject-token"));
    api.user = (await answer.json()).token.user.id;
    return api;
  }
  constructor(url, token) {
    Object.assign(this, { url, token });
  }
  async ask(method, path, body, type = "application/json") {
    const headers = { "x-auth-token": this.token, "openstack-api-version": "compute 2.96", ...(body ? { "content-type": type } : {}) };
    const answer = await fetch(this.url + path, { method, headers, body: body && (type === "application/json" ? JSON.stringify(body) : body) });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return text ? JSON.parse(text) : undefined;
  }
  get = (path) => this.ask("GET", path);
  post = (path, body) => this.ask("POST", path, body);
}

/** Fills a new region. What is left under way is meant to be. */
export async function inhabit(cloud) {
  at(cloud.url);
  const demo = await Api.signIn(base, "demo", cloud.password("demo"));
  const admin = await Api.signIn(base, "admin", cloud.password("admin"));
  const router = (await demo.get("/network/v2.0/routers")).routers[0];
  for (const [name, cidr] of [["웹", "10.20.0.0/24"], ["database", "10.21.0.0/24"]]) {
    const { network } = await demo.post("/network/v2.0/networks", { network: { name } });
    const { subnet } = await demo.post("/network/v2.0/subnets", { subnet: { network_id: network.id, name, cidr, ip_version: 4 } });
    if (name === "웹") await demo.ask("PUT", `/network/v2.0/routers/${router.id}/add_router_interface`, { subnet_id: subnet.id });
  }
  const { networks } = await demo.get("/network/v2.0/networks");
  const net = (name) => networks.find((n) => n.name === name).id;
  for (const [name, description, ports] of [["web", "HTTP and HTTPS for everybody", [80, 443]], ["bastion", "", [22]], ["데이터베이스", "웹 서버만 들입니다", []]]) {
    const { security_group: g } = await demo.post("/network/v2.0/security-groups", { security_group: { name, description } });
    for (const port of ports) {
      await demo.post("/network/v2.0/security-group-rules", { security_group_rule: { security_group_id: g.id, direction: "ingress", ethertype: "IPv4", protocol: "tcp", port_range_min: port, port_range_max: port, remote_ip_prefix: "0.0.0.0/0" } });
    }
  }
  const publicKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me@home";
  await demo.post("/compute/v2.1/os-keypairs", { keypair: { name: "laptop", type: "ssh", public_key: publicKey } });
  const image = (await demo.get("/image/v2/images")).images[0].id;
  const { flavors } = await demo.get("/compute/v2.1/flavors/detail");
  const small = flavors.toSorted((a, b) => a.ram - b.ram);
  const make = async (name, network, size = 0) => {
    const networks = network ? [{ uuid: net(network) }] : "none";
    const { server } = await demo.post("/compute/v2.1/servers", { server: { name, imageRef: image, flavorRef: small[size].id, networks, key_name: "laptop" } });
    return server.id;
  };
  const ids = [];
  for (const [name, network, size] of [["web-1", "웹", 1], ["web-2", "웹", 1], ["database-1", "database", 1], ["build-runner-with-a-rather-long-name-for-a-phone", "private", 0], ["메일", "private", 0], ["old-one", "private", 0]]) ids.push(await make(name, network, size));
  const server = async (id) => (await demo.get(`/compute/v2.1/servers/${id}`)).server;
  await until("all servers run", async () => (await Promise.all(ids.map(server))).every((s) => s.status === "ACTIVE"));
  await demo.post(`/compute/v2.1/servers/${ids[5]}/action`, { "os-stop": null });
  await demo.post(`/compute/v2.1/servers/${ids[4]}/action`, { pause: null });
  const { ports } = await demo.get(`/network/v2.0/ports?device_id=${ids[0]}`);
  await demo.post("/network/v2.0/floatingips", { floatingip: { floating_network_id: net("public"), port_id: ports[0].id } });
  await demo.post("/network/v2.0/floatingips", { floatingip: { floating_network_id: net("public") } });
  const mine = await demo.post("/image/v2/images", { name: "우리 웹 서버", disk_format: "raw", container_format: "bare", visibility: "private" });
  await demo.ask("PUT", `/image/v2/images/${mine.id}/file`, Buffer.alloc(1 << 20, 3), "application/octet-stream");
  await demo.post(`/identity/v3/users/${demo.user}/application_credentials`, { application_credential: { name: "terraform", description: "" } });
  await admin.post("/identity/v3/projects", { project: { name: "연구실", description: "기계 학습", domain_id: "default" } });
  await admin.post("/identity/v3/users", { user: { name: "jiwoo", password: "correct horse battery", email: "jiwoo@example.org", domain_id: "default" } });
  await until("two are stopped", async () => (await server(ids[5])).status === "SHUTOFF" && (await server(ids[4])).status === "PAUSED");
  const { machines } = await admin.get("/hanok/v1/machines");
  if (machines[0]) await admin.post(`/hanok/v1/machines/${machines[0].id}/approve`, { as: "metal" });
}
