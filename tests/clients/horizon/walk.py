"""Logs in to Horizon and opens its pages and what their scripts ask for.

    walk.py URL USER PASSWORD-FILE

A page must be there and bear no error that the first one does not (every page holds the templates of all).
"""

import http.cookiejar
import pathlib
import re
import sys
import urllib.error
import urllib.parse
import urllib.request

PAGES = """/project/ /project/api_access/ /project/instances/ /project/images/ /project/key_pairs/
/project/server_groups/ /project/networks/ /project/routers/ /project/security_groups/ /project/floating_ips/
/project/network_topology/ /project/network_topology/json /project/network_qos/ /project/floating_ips/allocate/
/project/networks/create /project/routers/create/ /project/security_groups/create/ /identity/ /identity/users/
/identity/application_credentials/ /settings/
/api/nova/servers/ /api/nova/flavors/ /api/nova/keypairs/ /api/nova/availzones/ /api/nova/limits/?reserved=true
/api/nova/servergroups/ /api/nova/quota-sets/defaults/ /api/glance/images/ /api/neutron/networks/
/api/neutron/extensions/ /api/neutron/qos_policies/ /api/network/securitygroups/ /api/network/floatingips/
/api/glance/metadefs/namespaces/?resource_type=OS::Nova::Flavor
/api/keystone/svc-catalog/ /api/keystone/version/ /api/keystone/user-session/ /api/settings/""".split()
ADMIN = """/admin/ /admin/instances/ /admin/hypervisors/ /admin/aggregates/ /admin/flavors/ /admin/images/
/admin/networks/ /admin/routers/ /admin/floating_ips/ /admin/info/ /admin/metadata_defs/ /admin/defaults/
/admin/rbac_policies/ /admin/rbac_policies/create/ /admin/flavors/create/ /identity/groups/ /identity/roles/
/identity/domains/ /api/keystone/users/ /api/keystone/projects/ /api/keystone/roles/ /api/keystone/groups/
/api/keystone/domains/ /api/nova/services/ /api/neutron/agents/ /api/glance/metadefs/resourcetypes/""".split()

base, who, file = sys.argv[1:4]
browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))


def get(path, form=None):
    headers = {"Referer": base + path}
    if path.startswith("/api"):
        headers["X-Requested-With"] = "XMLHttpRequest"
    body = urllib.parse.urlencode(form).encode() if form else None
    try:
        answer = browser.open(urllib.request.Request(base + path, data=body, headers=headers), timeout=120)
        return answer.status, answer.geturl(), answer.read().decode(errors="replace")
    except urllib.error.HTTPError as e:
        return e.code, e.geturl(), e.read().decode(errors="replace")


def errors(text):
    found = re.findall(r"(?:alert-danger|alert-error)[^>]*>\s*(.*?)</div>", text, re.S)
    return {re.sub(r"<[^>]+>|\s+", " ", e).strip()[:200] for e in found}


_, _, page = get("/auth/login/")
token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page).group(1)
password = pathlib.Path(file).read_text().strip()
form = {"csrfmiddlewaretoken": token, "username": who, "password": password, "auth_type": "credentials", "region": "default"}
_, url, page = get("/auth/login/", form)
if "/auth/login" in url:
    sys.exit(f"{who} could not log in")
always, wrong = errors(page), 0
pages = PAGES + (ADMIN if who == "admin" else [])
for path in pages:
    status, url, text = get(path)
    new = errors(text) - always
    if status != 200 or new:
        wrong += 1
        print(f"{who}: {path}: {status} {' '.join(sorted(new))}")
print(f"{who}: {len(pages) - wrong} of {len(pages)} pages")
sys.exit(1 if wrong else 0)
