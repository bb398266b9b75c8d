// What the pages read of what the APIs answer.
import type { Says } from "~/i18n/said";

export interface Address { addr: string; version: number; "OS-EXT-IPS:type": "fixed" | "floating"; "OS-EXT-IPS-MAC:mac_addr": string }
export interface Server {
  id: string; name: string; status: string; tenant_id: string; user_id: string; created: string; updated: string;
  image: { id: string } | ""; flavor: { original_name: string; vcpus: number; ram: number; disk: number };
  addresses: Record<string, Address[]>; key_name: string | null; progress?: number; locked: boolean;
  security_groups?: { name: string }[]; tags: string[]; metadata: Record<string, string>; description: string | null;
  "OS-EXT-STS:task_state": string | null; "OS-EXT-STS:vm_state": string; "OS-EXT-STS:power_state": number;
  "OS-EXT-AZ:availability_zone": string; "OS-EXT-SRV-ATTR:host"?: string; "OS-SRV-USG:launched_at": string | null;
  fault?: { code: number; message: string; created: string };
}
export interface Image {
  id: string; name: string; status: string; size: number | null; disk_format: string | null; visibility: string; owner: string;
  min_disk: number; min_ram: number; created_at: string; updated_at: string; protected: boolean; checksum: string | null;
  os_hidden: boolean; os_admin_user?: string; virtual_size: number | null; tags: string[];
}
export interface Network {
  id: string; name: string; status: string; subnets: string[]; shared: boolean; "router:external": boolean; mtu: number;
  project_id: string; description: string; admin_state_up: boolean; created_at: string;
  "provider:network_type"?: string; "provider:physical_network"?: string | null; "provider:segmentation_id"?: number | null;
}
export interface Subnet {
  id: string; name: string; network_id: string; cidr: string; ip_version: number; gateway_ip: string | null; enable_dhcp: boolean;
  dns_nameservers: string[]; allocation_pools: { start: string; end: string }[]; project_id: string;
}
export interface Router {
  id: string; name: string; status: string; project_id: string; admin_state_up: boolean;
  external_gateway_info: { network_id: string; external_fixed_ips: { ip_address: string; subnet_id: string }[] } | null;
  routes: { destination: string; nexthop: string }[];
}
export interface Port {
  id: string; name: string; network_id: string; mac_address: string; status: string; device_id: string; device_owner: string;
  fixed_ips: { subnet_id: string; ip_address: string }[]; security_groups: string[]; project_id: string; port_security_enabled: boolean;
}
export interface FloatingIp {
  id: string; floating_ip_address: string; fixed_ip_address: string | null; port_id: string | null; status: string;
  floating_network_id: string; router_id: string | null; project_id: string; description: string; created_at: string;
}
export interface Rule {
  id: string; security_group_id: string; direction: "ingress" | "egress"; ethertype: "IPv4" | "IPv6"; protocol: string | null;
  port_range_min: number | null; port_range_max: number | null; remote_ip_prefix: string | null; remote_group_id: string | null; description: string;
}
export interface SecurityGroup {
  id: string; name: string; description: string; project_id: string; security_group_rules: Rule[]; stateful: boolean;
}
export interface Keypair { name: string; fingerprint: string; type: string; public_key: string; created_at?: string }
export interface Flavor {
  id: string; name: string; vcpus: number; ram: number; disk: number; description: string | null;
  "os-flavor-access:is_public": boolean; extra_specs: Record<string, string>;
}
export interface Host {
  id: string; hypervisor_hostname: string; hypervisor_type: string; host_ip: string; state: string; status: string;
  service: { id: string; host: string; disabled_reason: string | null };
  vcpus?: number; vcpus_used?: number; memory_mb?: number; memory_mb_used?: number; local_gb?: number; local_gb_used?: number;
  running_vms?: number; servers?: { uuid: string; name: string }[];
}
export interface Work extends Says {
  id: string; kind: string; state: string; reason: string; since: string; budget_s: number | null; name?: string | null;
  over_budget?: boolean; last_error?: string; attempt?: number;
}
export interface Machine extends Says {
  id: string; name: string; status: string; status_name: string; status_at: string | null; message: string | null; locked: boolean;
  project_id: string | null; zone?: string; pool?: string; arch: string; uefi: boolean; vendor: string | null; product: string | null;
  serial: string | null; cpu_model: string | null; cores: number; memory_mib: number; disk_bytes: number; power: "on" | "off" | "unknown";
  image_name: string | null; tags: string[]; as_host: boolean; bmc?: string; rack?: string | null; power_reason?: string | null;
  /** What a person has to do by hand, where no controller switches the power. */
  to_do?: string | null;
  nics: { mac: string; name: string | null; boot: boolean; link: boolean; speed: number | null; segment: string | null; addresses: string[] }[];
  disks: { id: string; name: string; model: string | null; size_bytes: number; kind: string; role: string | null }[];
  verdicts?: ({ what: string; ok: boolean; reason: string } & Says)[];
}
export interface Why extends Says {
  id: string; kind: string; name: string | null; status?: string;
  life_cycle: (Says & { state: unknown; reason: string; since: string; for_s: number; budget_s: number | null; over_budget: boolean;
    failed_tries: number; last_error: string; looks_again: string | null }) | null;
  fault?: string | null; host?: { name: string | null; silent: boolean } | null;
  events: ({ at: string; level: string; message: string } & Says)[];
  /** What was asked of a server and ended badly. */
  ended_badly?: ({ request: string; message: string } & Says)[];
}
export interface InstanceAction { action: string; request_id: string; start_time: string; updated_at?: string; message: string | null; user_id: string }
export interface AuditRow {
  id: string; at: string; action: string; target: string; target_name: string | null; user_name: string | null; user_id: string; project_name: string | null; request_id: string;
}
export interface Project { id: string; name: string; description: string; enabled: boolean; domain_id: string }
export interface User { id: string; name: string; email?: string; options?: { multi_factor_auth_rules?: string[][] }; enabled: boolean; domain_id: string; description?: string }
