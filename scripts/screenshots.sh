#!/bin/bash
# Every page of the portal, light and dark, English and Korean, on a desk and on a phone, as pictures in
# portal/ui/e2e/out/shots, to be looked at by whoever changed a page. ONLY=/servers and LOOKS=en-dark-desk narrow it
# down; HANOK_URL and HANOK_DATA take another region than a new, simulated one; HANOK is the program.
exec "$(dirname "${BASH_SOURCE[0]}")/portal-e2e.sh" screenshots
